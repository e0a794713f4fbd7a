"""Our model with the official weights against what the official code computed with them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from pose2id.generation.checkpoints import load_official
from pose2id.generation.config import official_config
from pose2id.generation.model import IpgModel
from pose2id.generation.official import _unused_identity_keys
from pose2id.generation.pictures import image_batch, skeleton_batch, to_uint8
from pose2id.generation.sampler import Sampling, make_scheduler, sample
from pose2id.poses.standard import STANDARD_POSES


def load(official, config, dtype):
    model = load_official(official / "weights", config=config, dtype=dtype).model
    for weight in model.vae.parameters():  # the official run kept them in half precision
        weight.data = weight.data.half().to(dtype)
    return model


def tap(arrays, key):
    return torch.from_numpy(arrays[key])


def pixels(arrays, key):
    return tap(arrays, key).float() / 255


def banks_of(arrays, prefix):
    return {
        key.removeprefix(prefix): tap(arrays, key) for key in arrays.files if key.startswith(prefix)
    }


def assert_close(ours, theirs, atol):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


@torch.inference_mode()
def test_a_whole_run_in_float64_equals_the_official_one(official, official_tiny_config):
    model = load(official, official_tiny_config, torch.float64)
    arrays = np.load(official / "tiny_fp64.npz")
    reid = tap(arrays, "official/reid_input_u8").double()[None] / 255 * 2 - 1
    reference = (pixels(arrays, "official/ref_pixels_u8")[None] * 2 - 1).double()
    skeletons = pixels(arrays, "official/pose_pixels_u8").double()

    features = model.identity_features(torch.cat([torch.zeros_like(reid), reid]))
    tokens = model.identity_tokens(features)
    latents = model.encode(reference)
    banks = model.reference_banks(latents, tokens[1:])
    pose_embedding = model.pose_embedding(skeletons)
    final = sample(  # one pose is enough: rows do not see one another
        model,
        tap(arrays, "bank_exact/init_latents")[:1],
        tokens[1:],
        tokens[:1],
        banks,
        torch.zeros(1, dtype=torch.int64),
        pose_embedding[:1],
        Sampling("ddim", 20, 3.5),
    )

    assert_close(features, tap(arrays, "official/reid_features"), 1e-9)
    assert_close(tokens, tap(arrays, "official/tokens"), 1e-9)
    assert_close(latents, tap(arrays, "official/ref_latents"), 1e-9)
    assert_close(pose_embedding, tap(arrays, "official/pose_features"), 1e-9)
    written = model.write_banks(latents, tokens[1:])
    expected = banks_of(arrays, "official/bank/")
    assert written.keys() == expected.keys()
    for name, bank in written.items():
        # These banks were stored after the reference pass; row 1 is the conditional half.
        assert_close(bank[0], expected[name][1], 1e-9)
    # The schedule alone is float32, and its last bits are the processor's.
    assert_close(final, tap(arrays, "bank_exact/final_latents")[:1], 1e-5)
    assert_close(model.decode(final), tap(arrays, "bank_exact/decoded_raw_0"), 1e-5)


@torch.inference_mode()
def test_one_step_in_float64_equals_the_official_halves(official, official_tiny_config):
    model = load(official, official_tiny_config, torch.float64)
    arrays = np.load(official / "tiny_fp64.npz")
    tokens = tap(arrays, "official/tokens")
    latents = tap(arrays, "official/ref_latents")
    pose_embedding = tap(arrays, "official/pose_features")
    noise = tap(arrays, "bank_exact/init_latents")
    banks = model.reference_banks(latents, tokens[1:])
    t = torch.tensor(999)

    plain = model.denoise(noise, t, tokens[:1].expand(3, -1, -1), None, pose_embedding)
    index = torch.zeros(3, dtype=torch.int64)
    guided = model.denoise(noise, t, tokens[1:].expand(3, -1, -1), banks, pose_embedding, index)

    expected = tap(arrays, "bank_exact/denoiser_step0")
    assert_close(torch.cat([plain, guided]), expected, 1e-9)


@pytest.fixture
def one_thread():
    """The official run had one: with more, sums of the autoencoder are done in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@torch.inference_mode()
@pytest.mark.usefixtures("one_thread")
def test_each_network_in_float32_equals_its_official_tap(official, official_tiny_config):
    model = load(official, official_tiny_config, torch.float32)
    arrays = np.load(official / "tiny_main.npz")
    reid = pixels(arrays, "ref0/reid_input_u8")[None] * 2 - 1
    # The official code's pictures lie in memory with the channels last.
    reference = (pixels(arrays, "ref0/ref_pixels_u8")[None] * 2 - 1).contiguous(
        memory_format=torch.channels_last
    )
    latents, tokens = tap(arrays, "ref0/ref_latents"), tap(arrays, "ref0/tokens")

    features = model.identity_features(torch.cat([torch.zeros_like(reid), reid]))
    assert_close(features, tap(arrays, "ref0/reid_features"), 1e-5)
    assert_close(model.identity_tokens(tap(arrays, "ref0/reid_features")), tokens, 1e-5)
    assert_close(model.encode(reference), latents, 1e-5)
    skeletons = pixels(arrays, "ref0/pose_pixels_u8")
    assert_close(model.pose_embedding(skeletons), tap(arrays, "ref0/pose_features"), 1e-5)
    # As many rows as the official run has: 8 poses, two halves.
    written = model.write_banks(latents.repeat(16, 1, 1, 1), tokens.repeat_interleave(8, dim=0))
    # At the end of the network the official float32 banks are 1.2e-5 off those of float64, so that
    # another processor's rounding adds as much again: 1e-5 of the largest value is what holds.
    for name, bank in banks_of(arrays, "ref0/bank/").items():
        assert_close(written[name][[0, 8]], bank, 1e-5 * float(bank.abs().max()))


@torch.inference_mode()
def test_one_reference_row_is_as_good_as_the_sixteen_official_ones(official, official_tiny_config):
    model = load(official, official_tiny_config, torch.float32)
    arrays = np.load(official / "tiny_main.npz")
    written = model.write_banks(tap(arrays, "ref0/ref_latents"), tap(arrays, "ref0/tokens")[1:])
    for name, bank in banks_of(arrays, "ref0/bank/").items():
        torch.testing.assert_close(written[name][0], bank[1], rtol=1e-5, atol=2e-5)


@torch.inference_mode()
def test_a_whole_run_in_float32_ends_near_the_official_pictures(official, official_tiny_config):
    model = load(official, official_tiny_config, torch.float32)
    arrays = np.load(official / "tiny_main.npz")
    tokens = tap(arrays, "ref0/tokens")
    poses = [2, 6]
    final = sample(
        model,
        tap(arrays, "ref0/init_latents")[poses],
        tokens[1:],
        tokens[:1],
        model.reference_banks(tap(arrays, "ref0/ref_latents"), tokens[1:]),
        torch.zeros(2, dtype=torch.int64),
        tap(arrays, "ref0/pose_features")[poses],
        Sampling("ddim", 20, 3.5),
    )
    # The official bank is rounded to half precision, which alone moves the latents by 5e-4.
    assert_close(final, tap(arrays, "ref0/final_latents")[poses], 5e-3)
    ours = to_uint8(model.decode(final), 256, 128).astype(int)
    assert np.abs(ours - arrays["ref0/image_u8_trunc"][poses]).max() <= 2


def test_pictures_are_prepared_like_the_official_ones(official, official_tiny_config):
    arrays = np.load(official / "tiny_main.npz")
    path = official.parents[1] / "data" / "pose2id" / "ref" / "ir1.jpg"
    if not path.is_file():
        pytest.skip("the official reference pictures are not on this machine")
    image = Image.open(path)
    small = image_batch([image], 256, 128)[0]  # both inputs have this size here
    expected = pixels(arrays, "ref0/reid_input_u8") * 2 - 1
    assert_close(small, expected, 1e-6)
    assert_close(small, pixels(arrays, "ref0/ref_pixels_u8") * 2 - 1, 1e-6)


def test_drawn_poses_are_what_the_official_guider_saw(official, official_tiny_config):
    theirs = pixels(np.load(official / "tiny_main.npz"), "ref0/pose_pixels_u8")
    ours = skeleton_batch(STANDARD_POSES, official_tiny_config)
    difference = (ours - theirs).abs().mean(dim=(1, 2, 3))  # (8,)
    assert difference.max() < 0.016  # an empty canvas differs by 0.048 on average
    swapped = (ours.flip(1) - theirs).abs().mean()  # the channels in the other order
    assert swapped > 2 * difference.max()
    drawn, seen = ours.amax(dim=1) > 0.1, theirs.amax(dim=1) > 0.1  # (8, H, W)
    overlap = (drawn & seen).sum(dim=(1, 2)) / (drawn | seen).sum(dim=(1, 2))
    assert overlap.min() > 0.9


def test_the_noise_schedule_is_the_official_one(official):
    scheduler = make_scheduler("ddim")
    scheduler.set_timesteps(20)
    arrays = np.load(official / "tiny_main.npz")
    # A float32 product of a thousand factors: its last bits are the processor's.
    assert_close(scheduler.alphas_cumprod, tap(arrays, "alphas_cumprod"), 1e-6)
    assert scheduler.timesteps.tolist() == arrays["ref0/timesteps"].tolist()
    theirs = json.loads((official / "meta_tiny.json").read_text())["scheduler_config"]
    ours = {key: value for key, value in scheduler.config.items() if key in theirs}
    # Trailing spacing never reads the offset, on which the two configurations differ.
    assert {**ours, "steps_offset": 1} == theirs


def test_full_size_networks_have_exactly_the_published_keys_and_shapes(official):
    published = json.loads((official / "meta_full.json").read_text())
    config = official_config()
    with torch.device("meta"):
        model = IpgModel(config)
    for part, key in {
        "identity": "reid_keys",
        "guider": "pose_guider_keys",
        "reference_unet": "reference_keys",
        "denoising_unet": "denoising_keys",
    }.items():
        state = model.get_submodule(part).state_dict()
        ours = {name: list(tensor.shape) for name, tensor in state.items()}
        theirs = published[key]
        if part == "identity":
            unused = _unused_identity_keys(config)
            theirs = {name: shape for name, shape in theirs.items() if not name.startswith(unused)}
        assert ours == theirs
    refiner = {name: list(tensor.shape) for name, tensor in model.refiner.state_dict().items()}
    assert refiner == {
        "proj_motion.weight": [20 * 768, 3840],
        "proj_motion.bias": [20 * 768],
        "norm_motion.weight": [768],
        "norm_motion.bias": [768],
    }


def test_unet_and_vae_arguments_match_the_configs_beside_the_weights(
    official, official_tiny_config
):
    weights = official / "weights"
    unet = json.loads((weights / "stable-diffusion-v1-5/unet/config.json").read_text())
    vae = json.loads((weights / "sd-vae-ft-mse/config.json").read_text())
    config = official_tiny_config
    for ours, theirs in (
        (config.unet.diffusers_kwargs(config.vae.latent_channels), unet),
        (config.vae.diffusers_kwargs(), vae),
    ):
        as_json = json.loads(json.dumps(ours))
        assert as_json == {key: theirs[key] for key in as_json}
