"""From noise to latents: the diffusion solvers and classifier-free guidance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from diffusers import DDIMScheduler
from numpy.typing import NDArray
from torch import Tensor

from pose2id.choices import Solver
from pose2id.errors import ParamsError
from pose2id.generation.model import IpgModel
from pose2id.generation.reference import ReferenceBanks

# The schedule that the model is trained with. Betas are rescaled so that the last step is pure
# noise (zero terminal SNR), and trailing spacing makes sampling start exactly there.
SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}


@dataclass(frozen=True)
class Sampling:
    """How latents are sampled.

    Attributes:
        solver: `ddim` as in the paper, or a second-order multistep solver that needs fewer steps.
        steps: Denoiser steps.
        guidance_scale: Weight of the condition, u + scale (c - u); 1 leaves out the unconditional
            half and with it half of the work.
    """

    solver: Solver = "ddim"
    steps: int = 20
    guidance_scale: float = 3.5

    def __post_init__(self) -> None:
        if self.solver not in get_args(Solver):
            raise ParamsError(
                f"solver is {self.solver!r}; allowed are {', '.join(get_args(Solver))}."
            )
        if not 1 <= self.steps <= SCHEDULE["num_train_timesteps"]:
            raise ParamsError(f"steps is {self.steps}; allowed are 1 to 1000.")
        if not self.guidance_scale >= 1:
            raise ParamsError(
                f"guidance_scale is {self.guidance_scale}; allowed is 1 (no guidance) or more."
            )

    @property
    def guided(self) -> bool:
        """Whether the unconditional half is needed."""
        return self.guidance_scale > 1


def make_scheduler(solver: Solver) -> Any:  # noqa: ANN401
    """A fresh diffusers scheduler on the model's schedule."""
    if solver == "ddim":
        return DDIMScheduler(**SCHEDULE, clip_sample=False, set_alpha_to_one=True)
    # These two import scipy's statistics, which takes a second.
    from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler

    if solver == "dpmpp":
        return DPMSolverMultistepScheduler(
            **SCHEDULE, algorithm_type="dpmsolver++", solver_order=2, final_sigmas_type="zero"
        )
    return UniPCMultistepScheduler(**SCHEDULE, solver_order=2, final_sigmas_type="zero")


def start_noise(
    seeds: NDArray[np.uint64] | Sequence[int], latent_shape: tuple[int, int, int]
) -> Tensor:
    """Start noise that depends on its own seed only, never on batch, order or device.

    Args:
        seeds: `(N,) uint64`.
        latent_shape: Shape of one latent.

    Returns:
        `(N, *latent_shape) float32` on the CPU.
    """
    return torch.stack(
        [torch.randn(latent_shape, generator=torch.Generator().manual_seed(int(s))) for s in seeds]
    )


def sample(
    model: IpgModel,
    noise: Tensor,
    tokens: Tensor,
    unconditional_tokens: Tensor | None,
    banks: ReferenceBanks,
    reference_index: Tensor,
    pose_embedding: Tensor,
    sampling: Sampling,
) -> Tensor:
    """Denoises N latents.

    The two halves of guidance are two passes: the unconditional one never sees the references.

    Args:
        model: The model.
        noise: `(N, *latent_shape)` start noise; its precision is that of the solver.
        tokens: `(R, T, C)` identity tokens of the references.
        unconditional_tokens: `(1, T, C)`; None where `sampling` is not guided.
        banks: The references' keys and values.
        reference_index: `(N,) int64`, which reference each latent shows.
        pose_embedding: `(N, channels[0], h, w)`.
        sampling: Solver, steps and guidance.

    Returns:
        `(N, *latent_shape)` scaled latents, in the precision of `noise`.
    """
    scheduler = make_scheduler(sampling.solver)
    scheduler.set_timesteps(sampling.steps)
    row_tokens = tokens[reference_index]  # (N, T, C)
    plain_tokens = None
    if sampling.guided:
        if unconditional_tokens is None:
            raise ParamsError("guidance needs the unconditional tokens; none were given.")
        plain_tokens = unconditional_tokens.expand(len(noise), -1, -1)
    latents: Tensor = noise * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        x = latents.to(pose_embedding.dtype)
        timestep = t.to(latents.device)
        v = model.denoise(x, timestep, row_tokens, banks, pose_embedding, reference_index)
        if plain_tokens is not None:
            plain = model.denoise(x, timestep, plain_tokens, None, pose_embedding)
            v = plain + sampling.guidance_scale * (v - plain)
        latents = scheduler.step(v.to(latents.dtype), t, latents).prev_sample
    return latents
