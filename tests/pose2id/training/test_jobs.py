from __future__ import annotations

import csv
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import tasks.studies.training
import tasks.studies.training_data
from pose2id.errors import ParamsError, WeightsError
from pose2id.generation.checkpoints import load_model
from pose2id.generation.config import IpgConfig, VaeConfig
from pose2id.generation.identity_net import IdentityNet
from pose2id.training.identity import (
    IdentityHead,
    IdentityJob,
    batch_hard_triplet,
    camera_map,
)
from pose2id.training.ipg import IpgJob, identification_loss, velocity_weight
from pose2id.training.randomness import StepRandom
from pose2id.training.recipe import Recipe, check_recipe
from pose2id.training.vae_start import fresh_vae

LOOP = {"steps": 4, "lr": 1e-3, "checkpoint_every": 2, "sample_every": 4}

MODEL = {
    "height_px": 32,
    "width_px": 16,
    "output_height_px": 32,
    "output_width_px": 16,
    "identity_tokens": 2,
    "unet": {
        "channels": [8, 16],
        "attention": [True, True],
        "layers_per_block": 1,
        "heads": 2,
        "norm_groups": 4,
        "cross_attention_dim": 8,
    },
    "vae": {
        "channels": [8, 8, 8],
        "layers_per_block": 1,
        "norm_groups": 1,
        "latent_channels": 4,
    },
    "identity": {
        "height_px": 32,
        "width_px": 16,
        "patch_px": 8,
        "stride_px": 6,
        "embed_dim": 8,
        "depth": 2,
        "heads": 2,
    },
    "guider": {"channels": [4, 4, 8], "strides": [2, 2]},
}


def tiny_model_config() -> IpgConfig:
    """The sizes of a model that trains in a moment."""
    return IpgConfig.model_validate(MODEL)


def _recipe(folder: Path, start: str = "scratch", identity: bool = True):
    content = {
        "seed": 1,
        "runs": str(folder / "runs"),
        "out": str(folder / "out"),
        "cache": str(folder / "cache"),
        "device": "cpu",
        "data": {
            "source": "rendered",
            "seed": 3,
            "identities": 4,
            "shots": 2,
            "standard": 2,
            "free": 1,
        },
        "model": MODEL,
        "vae": {"loop": LOOP, "batch": 2},
        "decoder": {"loop": LOOP, "batch": 2},
        "identity": {"loop": LOOP, "loss": {"identities": 2, "pictures": 2}},
        "ipg": {
            "loop": LOOP,
            "loss": {
                "references": 2,
                "targets": 2,
                "unconditional": 0.5,
                "identity": 0.5,
                "identity_candidates": 8,
            },
            "start": start,
        },
    }
    if start != "scratch":
        del content["vae"], content["decoder"]
    if not identity:
        del content["identity"]
    return check_recipe(Recipe, content, "test")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks.studies.training_data, "VALIDATION_IDENTITIES", 2)
        tasks.studies.training.train_vae(_recipe(folder))
        tasks.studies.training.train_identity(_recipe(folder))
        tasks.studies.training.train_ipg(_recipe(folder))
    return folder


def _losses(folder: Path) -> list[str]:
    with (folder / "loss.csv").open(newline="") as stream:
        return [row["loss"] for row in csv.DictReader(stream)]


def test_training_leaves_a_loadable_model_with_unit_latents_and_a_card(trained):
    model = load_model(trained / "out").model
    assert model.config.vae.scaling_factor != 1.0
    card = (trained / "out" / "README.md").read_text()
    assert "Seed 1" in card
    assert "| ipg | 4 |" in card


def test_a_stopped_ipg_training_goes_on_with_the_same_losses(trained, tmp_path):
    whole = _losses(trained / "runs" / "ipg")
    (trained / "runs" / "ipg").rename(tmp_path / "whole")
    tasks.studies.training.train_ipg(_recipe(trained), stop_after=3)
    assert len(_losses(trained / "runs" / "ipg")) == 3
    tasks.studies.training.train_ipg(_recipe(trained))
    assert _losses(trained / "runs" / "ipg") == whole


def test_training_changes_only_what_is_trained(trained):
    recipe = _recipe(trained)
    fresh, tuned = tasks.studies.training._fresh_model(recipe), load_model(trained / "out").model
    for name, tensor in fresh.state_dict().items():
        half = tensor.to(torch.float16).float()
        if name.startswith(("vae.encoder.", "vae.quant_conv.", "identity.")):
            assert torch.equal(half, tuned.state_dict()[name]), name
    for part in ("refiner.proj_motion.weight", "guider.conv_out.weight"):
        assert not torch.equal(fresh.state_dict()[part], tuned.state_dict()[part])
    banked = [n for n in fresh.state_dict() if n.startswith("reference_unet.down") and "norm1" in n]
    assert any(not torch.equal(fresh.state_dict()[n], tuned.state_dict()[n]) for n in banked)


def test_fine_tuning_starts_from_given_weights(trained, tmp_path):
    recipe = _recipe(tmp_path, start=str(trained / "out"), identity=False)
    tasks.studies.training.train_ipg(recipe, stop_after=2)
    old, new = load_model(trained / "out").model, load_model(tmp_path / "out").model
    assert new.config == old.config
    change = new.denoising_unet.conv_in.weight - old.denoising_unet.conv_in.weight
    assert 0 < change.abs().max() < 0.01


def test_fine_tuning_takes_the_identity_network_that_the_recipe_trains(
    trained, tmp_path, monkeypatch
):
    monkeypatch.setattr(tasks.studies.training_data, "VALIDATION_IDENTITIES", 2)
    recipe = _recipe(tmp_path, start=str(trained / "out"))
    with pytest.raises(WeightsError, match=r"pose2id train identity"):
        tasks.studies.training.train_ipg(recipe, stop_after=1)
    longer = recipe.identity.loop.model_copy(update={"steps": 8})
    section = recipe.identity.model_copy(update={"loop": longer})
    tasks.studies.training.train_identity(recipe.model_copy(update={"identity": section}))
    tasks.studies.training.train_ipg(recipe, stop_after=1)
    old, new = load_model(trained / "out").model, load_model(tmp_path / "out").model
    weight = "base.patch_embed.proj.weight"
    assert not torch.equal(old.identity.state_dict()[weight], new.identity.state_dict()[weight])
    for name, tensor in old.vae.state_dict().items():
        assert torch.equal(new.vae.state_dict()[name], tensor), name


def test_weights_to_start_from_keep_their_autoencoder_and_sizes(trained, tmp_path):
    both = _recipe(tmp_path).model_dump(mode="json")
    both["ipg"]["start"] = str(trained / "out")
    with pytest.raises(ParamsError, match="their own autoencoder"):
        check_recipe(Recipe, both, "test")
    recipe = _recipe(tmp_path, start=str(trained / "out"), identity=False)
    other = recipe.model.model_copy(update={"identity_tokens": 3})
    with pytest.raises(ParamsError, match="has other sizes"):
        tasks.studies.training.train_ipg(recipe.model_copy(update={"model": other}))


def test_the_decoder_can_be_trained_on_after_ipg(trained, monkeypatch):
    monkeypatch.setattr(tasks.studies.training_data, "VALIDATION_IDENTITIES", 2)
    before = load_model(trained / "out").model.state_dict()
    losses = _losses(trained / "runs" / "ipg")
    tasks.studies.training.train_decoder(_recipe(trained))
    tasks.studies.training.train_ipg(
        _recipe(trained)
    )  # nothing left to train: takes the new decoder
    assert _losses(trained / "runs" / "ipg") == losses
    after = load_model(trained / "out").model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(n.startswith(("vae.decoder.", "vae.post_quant_conv.")) for n in changed)


def test_a_recipe_that_continues_another_repeats_nothing(trained, tmp_path):
    first = _recipe(trained).model_dump(mode="json")
    (tmp_path / "first.yaml").write_text(yaml.safe_dump(first))
    own = {
        "continues": "first.yaml",
        "seed": 9,
        "runs": "later",
        "out": "there",
        "ipg": {"loop": LOOP, "start": "out"},
    }
    (tmp_path / "second.yaml").write_text(yaml.safe_dump(own))
    found = tasks.studies.training.read_recipe_file(tmp_path / "second.yaml")
    assert (found.seed, found.runs) == (9, Path("later"))
    assert (found.data, found.model) == (_recipe(trained).data, _recipe(trained).model)
    assert found.vae is None
    (tmp_path / "second.yaml").write_text(yaml.safe_dump(own | {"continues": "second.yaml"}))
    with pytest.raises(ParamsError, match="leads back to"):
        tasks.studies.training.read_recipe_file(tmp_path / "second.yaml")
    (tmp_path / "second.yaml").write_text(yaml.safe_dump(own | {"continues": "none.yaml"}))
    with pytest.raises(ParamsError, match=r"there is no .*none\.yaml"):
        tasks.studies.training.read_recipe_file(tmp_path / "second.yaml")


def test_the_parts_of_the_shipped_models_recipe_follow_on_each_other():
    names = ("train", "refine", "sharpen", "street")
    paths = [Path(__file__).parents[3] / f"models/ipg-small/{name}.yaml" for name in names]
    parts = [tasks.studies.training.read_recipe_file(path) for path in paths]
    assert parts[-1].out == Path("models/ipg-small")
    for earlier, later in pairwise(parts):
        assert later.runs != earlier.runs
        assert later.ipg.start == earlier.out
        assert later.model == earlier.model


def test_distorted_pictures_give_the_identity_network_another_loss(trained):
    recipe = _recipe(trained)
    pool = tasks.studies.training_data.open_pool(recipe)
    torch.manual_seed(0)
    config = recipe.model.identity
    head = IdentityHead(IdentityNet(config), int(pool.table.identity.max()) + 1)
    random = partial(StepRandom, 17, "identity", 0, 0)
    plain, again, distorted = (
        IdentityJob(config, loss, pool, head).loss(random()).item()
        for loss in (*[recipe.identity.loss] * 2, replace(recipe.identity.loss, distort=True))
    )
    assert plain == again != distorted


def test_ipg_needs_its_frozen_parts(tmp_path):
    with pytest.raises(WeightsError, match=r"pose2id train vae"):
        tasks.studies.training.train_ipg(_recipe(tmp_path))


def test_a_fresh_autoencoder_already_shows_colours():
    torch.manual_seed(0)
    vae = fresh_vae(
        VaeConfig(channels=(8, 16), layers_per_block=1, norm_groups=1, latent_channels=4)
    )
    colours = torch.rand(8, 3, 1, 1) * 2 - 1
    with torch.no_grad():
        drawn = vae.decode(vae.encode(colours.expand(8, 3, 16, 16)).latent_dist.mean).sample
    seen = (drawn.mean(dim=(2, 3)) - drawn.mean(dim=(1, 2, 3))[:, None]).flatten()
    wanted = (colours[:, :, 0, 0] - colours.mean(dim=(1, 2, 3))[:, None]).flatten()
    assert torch.corrcoef(torch.stack([seen, wanted]))[0, 1] > 0.8


def test_noise_only_steps_count_fully_and_nearly_clean_ones_little():
    weight = velocity_weight(torch.tensor([0.0, 0.8, 0.99]), 5.0)
    snr_plus_one = 1 / (1 - np.array([0.0, 0.8, 0.99]))
    np.testing.assert_allclose(weight, np.minimum(snr_plus_one, 5) / snr_plus_one, rtol=1e-5)


def test_the_right_person_must_be_nearer_than_others():
    right, others = torch.eye(3)[:1], torch.eye(3)[1:]
    near, far = torch.tensor([[5.0, 0.1, 0.1]]), torch.tensor([[0.1, 5.0, 0.1]])
    wanted = torch.logsumexp(torch.tensor([0.0, -10.0, -10.0]), dim=0).item()  # cosines 1, 0, 0
    assert identification_loss(7 * right, right, others, 0.1).item() == pytest.approx(wanted)
    assert identification_loss(near, right, others, 1) < identification_loss(far, right, others, 1)
    assert identification_loss(right, right, torch.zeros(0, 3), 0.1).item() == 0.0


def test_the_identity_loss_reaches_the_latents_and_leaves_the_frozen_parts_alone(trained):
    recipe = _recipe(trained)
    model = load_model(trained / "out").model
    for part in tasks.studies.training.FROZEN_PARTS:
        model.get_submodule(part).requires_grad_(False)
    job = IpgJob(model, recipe.ipg.loss, tasks.studies.training_data.open_pool(recipe), "a" * 16)
    table = job._pool.table
    targets = np.flatnonzero(table.is_target & (table.identity < 2))
    latents = job._tensor(job._latents[targets]).requires_grad_()
    job._identity_loss(latents, targets, np.random.default_rng(0)).backward()
    assert (latents.grad.abs().sum(dim=(1, 2, 3)) > 0).all()
    assert all(p.grad is None for p in [*model.vae.parameters(), *model.identity.parameters()])


def test_the_triplet_loss_takes_the_hardest_pairs():
    features = torch.tensor([[0.0], [3.0], [4.0], [10.0]])
    labels = torch.tensor([0, 0, 1, 1])
    gaps = torch.tensor([3.0 - 4.0, 3.0 - 1.0, 6.0 - 1.0, 6.0 - 7.0])
    expected = torch.nn.functional.softplus(gaps).mean()
    assert batch_hard_triplet(features, labels).item() == pytest.approx(expected.item(), rel=1e-5)


def test_camera_map_drops_the_own_camera():
    features = np.array([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0], [0.9, 0.5]], np.float32)
    # The query's look-alike is by its own camera; its other picture comes second of two.
    m_ap, rank_1 = camera_map(features, np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))
    assert rank_1 == 0.0
    assert m_ap == pytest.approx((0.5 + 0.5 + (1 / 2 + 2 / 3) / 2) / 3)
