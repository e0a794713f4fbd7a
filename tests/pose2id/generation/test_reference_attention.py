import pytest
import torch
from diffusers import UNet2DConditionModel


@pytest.fixture
def scene(model):
    """Two references, five pictures to draw, everything seeded."""
    draw = torch.Generator().manual_seed(3)
    latent_shape = model.config.latent_shape
    tokens = torch.randn(2, 3, 12, generator=draw)
    with torch.no_grad():
        banks = model.reference_banks(torch.randn(2, *latent_shape, generator=draw), tokens)
    return {
        "noisy": torch.randn(5, *latent_shape, generator=draw),
        "timestep": torch.tensor([10, 200, 999, 0, 500]),
        "tokens": torch.randn(5, 3, 12, generator=draw),
        "banks": banks,
        "pose_embedding": torch.randn(5, 8, 8, 8, generator=draw),
        "reference_index": torch.tensor([1, 0, 0, 1, 1]),
    }


def rows(scene, chosen):
    """The same scene with only some of its pictures."""
    return {
        key: value if key == "banks" or value is None else value[chosen]
        for key, value in scene.items()
    }


@torch.no_grad()
def test_without_a_reference_the_denoiser_is_the_plain_unet(model, scene):
    unet = model.denoising_unet
    plain = UNet2DConditionModel.from_config(unet.config)
    plain.load_state_dict(unet.state_dict())
    scene["pose_embedding"].zero_()
    ours = model.denoise(**{**scene, "banks": None, "reference_index": None})
    theirs = plain(scene["noisy"], scene["timestep"], scene["tokens"]).sample
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@torch.no_grad()
def test_each_picture_reads_its_own_reference_only(model, scene):
    together = model.denoise(**scene)
    for row in range(5):
        alone = model.denoise(**rows(scene, [row]))
        torch.testing.assert_close(together[[row]], alone, rtol=0, atol=1e-5)
    other = model.denoise(**{**scene, "reference_index": 1 - scene["reference_index"]})
    assert ((together - other).flatten(1).abs().amax(dim=1) > 1e-3).all()


@torch.no_grad()
def test_one_shared_reference_equals_a_repeated_one(model):
    draw = torch.Generator().manual_seed(4)
    latent = torch.randn(1, *model.config.latent_shape, generator=draw)
    tokens = torch.randn(1, 3, 12, generator=draw)
    noisy = torch.randn(4, *model.config.latent_shape, generator=draw)
    pose = torch.randn(4, 8, 8, 8, generator=draw)
    t = torch.tensor(300)
    row_tokens = tokens.expand(4, -1, -1)

    shared = model.reference_banks(latent, tokens)
    repeated = model.reference_banks(latent.repeat(4, 1, 1, 1), row_tokens)
    index = torch.zeros(4, dtype=torch.int64)

    torch.testing.assert_close(
        model.denoise(noisy, t, row_tokens, shared, pose, index),
        model.denoise(noisy, t, row_tokens, repeated, pose),
        rtol=0,
        atol=1e-5,
    )


@torch.no_grad()
def test_dropped_rows_are_unconditional_and_the_others_unchanged(model, scene):
    drop = torch.tensor([False, True, False, True, True])
    mixed = model.denoise(**scene, drop=drop)
    guided = model.denoise(**scene)
    plain = model.denoise(**{**scene, "banks": None})
    torch.testing.assert_close(mixed[drop], plain[drop], rtol=0, atol=1e-5)
    torch.testing.assert_close(mixed[~drop], guided[~drop], rtol=0, atol=1e-5)


@pytest.mark.parametrize("dropped", [True, False])
@torch.no_grad()
def test_dropping_all_or_none_needs_no_special_case(model, scene, dropped):
    drop = torch.full((5,), dropped)
    expected = model.denoise(**{**scene, "banks": None if dropped else scene["banks"]})
    torch.testing.assert_close(model.denoise(**scene, drop=drop), expected, rtol=0, atol=1e-5)


def test_every_transformer_block_has_a_bank_of_its_own_name(model, scene):
    blocks = {
        name.removesuffix(".attn1")
        for name, _ in model.denoising_unet.named_modules()
        if name.endswith(".attn1")
    }
    assert scene["banks"].keys.keys() == scene["banks"].values.keys() == blocks
    assert len(blocks) == 7  # 2 down, 1 middle, 4 up


def test_training_reaches_every_network_on_the_path(model, scene):
    latents = torch.randn(2, *model.config.latent_shape)
    tokens = model.identity_tokens(torch.randn(2, 40))
    pose = model.pose_embedding(torch.rand(5, 3, 16, 16))
    banks = model.reference_banks(latents, tokens)
    drop = torch.tensor([False, True, False, False, False])
    index = scene["reference_index"]
    v = model.denoise(scene["noisy"], scene["timestep"], tokens[index], banks, pose, index, drop)
    v.square().mean().backward()
    for part in ("refiner", "guider", "denoising_unet"):
        module = model.get_submodule(part)
        assert all(weight.grad is not None for weight in module.parameters())
    # What follows the last bank of the reference UNet is used by nobody.
    last = "up_blocks.1.attentions.1"
    trained = {n for n, w in model.reference_unet.named_parameters() if w.grad is not None}
    untrained = {n for n, _ in model.reference_unet.named_parameters()} - trained
    assert trained
    assert all(name.startswith(last) for name in untrained)


def test_gradient_checkpointing_gives_the_same_gradients(model, scene):
    def gradients():
        model.zero_grad()
        banks = model.reference_banks(torch.ones(2, 4, 8, 8), scene["tokens"][:2])
        model.denoise(**{**scene, "banks": banks}).square().mean().backward()
        return {n: w.grad.clone() for n, w in model.named_parameters() if w.grad is not None}

    model.train()
    plain = gradients()
    model.reference_unet.enable_gradient_checkpointing()
    model.denoising_unet.enable_gradient_checkpointing()
    checkpointed = gradients()
    assert checkpointed.keys() == plain.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient, rtol=1e-4, atol=1e-6)


def test_bfloat16_autocast_stays_near_float32(model, scene):
    latents = torch.ones(2, *model.config.latent_shape)
    with torch.no_grad():
        expected = model.denoise(
            **{**scene, "banks": model.reference_banks(latents, scene["tokens"][:2])}
        )
        with torch.autocast("cpu", torch.bfloat16):
            banks = model.reference_banks(latents, scene["tokens"][:2])
            found = model.denoise(**{**scene, "banks": banks})
    assert (found.float() - expected).abs().mean() < 0.05 * expected.abs().mean()
