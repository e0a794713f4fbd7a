import numpy as np
import pytest
import torch

from pose2id.errors import ParamsError
from pose2id.generation.sampler import Sampling, make_scheduler, sample, start_noise


class KnowsThePicture:
    """Stands for a perfect denoiser: the data is one known latent, so its v is exact."""

    def __init__(self, picture, plain_picture=None):
        self.pictures = {True: picture, False: plain_picture}
        alphas = make_scheduler("ddim").alphas_cumprod
        self.alpha, self.sigma = alphas.sqrt(), (1 - alphas).sqrt()
        self.calls = []

    def denoise(self, noisy, t, tokens, banks, pose_embedding, reference_index=None):
        self.calls.append(banks is not None)
        picture = self.pictures[banks is not None]
        noise = (noisy - self.alpha[t] * picture) / self.sigma[t]
        return self.alpha[t] * noise - self.sigma[t] * picture


def run(model, sampling, plain_tokens=None):
    shape = (2, 4, 8, 8)
    noise = start_noise([1, 2], shape[1:])
    return sample(
        model,
        noise,
        torch.zeros(1, 3, 12),
        plain_tokens,
        banks="some banks",
        reference_index=torch.zeros(2, dtype=torch.int64),
        pose_embedding=torch.zeros(2, 8, 8, 8),
        sampling=sampling,
    )


@pytest.mark.parametrize("solver", ["ddim", "dpmpp", "unipc"])
@pytest.mark.parametrize("steps", [2, 8])
def test_every_solver_finds_what_a_perfect_denoiser_knows(solver, steps):
    picture = torch.linspace(-2, 2, 256).view(1, 4, 8, 8)
    found = run(KnowsThePicture(picture), Sampling(solver, steps, 1.0))
    # DDIM stops at the schedule's first step, which keeps a little of the noise.
    torch.testing.assert_close(found, picture.expand_as(found), rtol=0, atol=0.15)


@pytest.mark.parametrize("solver", ["ddim", "dpmpp", "unipc"])
def test_every_solver_starts_from_pure_noise(solver):
    scheduler = make_scheduler(solver)
    scheduler.set_timesteps(8)
    assert scheduler.timesteps[0] == 999
    assert scheduler.alphas_cumprod[999] < 1e-6
    assert scheduler.init_noise_sigma == 1


def test_guidance_extrapolates_from_the_unconditional_picture():
    zero, one = torch.zeros(1, 4, 8, 8), torch.ones(1, 4, 8, 8)
    found = run(KnowsThePicture(one, zero), Sampling("ddim", 1, 3.5), torch.zeros(1, 3, 12))
    torch.testing.assert_close(found.mean(), torch.tensor(3.5), rtol=0, atol=0.05)


def test_without_guidance_the_unconditional_half_is_never_computed():
    denoiser = KnowsThePicture(torch.zeros(1, 4, 8, 8))
    run(denoiser, Sampling("ddim", 4, 1.0))
    assert denoiser.calls == [True] * 4


def test_with_guidance_each_step_has_one_pass_of_each_half():
    denoiser = KnowsThePicture(torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8, 8))
    run(denoiser, Sampling("ddim", 3, 2.0), torch.zeros(1, 3, 12))
    assert denoiser.calls == [True, False] * 3


def test_noise_depends_on_its_own_seed_only():
    seeds = np.array([7, 2**64 - 1, 7, 0], dtype=np.uint64)
    noise = start_noise(seeds, (4, 8, 8))
    assert torch.equal(noise[0], noise[2])
    assert torch.equal(noise[[1]], start_noise(seeds[[1]], (4, 8, 8)))
    assert not torch.equal(noise[1], noise[3])
    assert noise.dtype == torch.float32


@pytest.mark.parametrize(
    "arguments",
    [("euler", 20, 3.5), ("ddim", 0, 3.5), ("ddim", 1001, 3.5), ("ddim", 20, 0.5)],
)
def test_impossible_sampling_is_refused(arguments):
    with pytest.raises(ParamsError, match="allowed"):
        Sampling(*arguments)
