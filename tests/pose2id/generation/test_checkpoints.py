import json
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from pose2id.errors import ParamsError, WeightsError
from pose2id.generation.checkpoints import (
    convert_official,
    load_model,
    load_official,
    load_part,
    save_model,
)
from pose2id.generation.model import PARTS
from pose2id.generation.official import OFFICIAL_FILES


@pytest.fixture
def folder(model, tmp_path):
    save_model(model, tmp_path / "saved", dtype=torch.float32)
    return tmp_path / "saved"


@pytest.fixture
def published(model, tmp_path):
    """A tiny model in the five published formats, their oddities included."""
    folder = tmp_path / "published"
    (folder / "sd-vae-ft-mse").mkdir(parents=True)
    vae = {
        name.replace("to_q", "query")
        .replace("to_k", "key")
        .replace("to_v", "value")
        .replace("to_out.0", "proj_attn"): tensor.contiguous()
        for name, tensor in model.vae.state_dict().items()
    }
    save_file(vae, folder / OFFICIAL_FILES["vae"])
    for part in PARTS[1:]:
        state = dict(model.get_submodule(part).state_dict())
        if part == "identity":
            state = {f"module.{name}": tensor for name, tensor in state.items()}
            state["module.classifier.weight"] = torch.zeros(7, 8)
            state["module.base.blocks.1.norm1.bias"] = torch.zeros(8)
        torch.save(state, folder / OFFICIAL_FILES[part])
    return folder


def assert_same_weights(ours, theirs):
    theirs = theirs.state_dict()
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name


def test_a_saved_model_comes_back_bit_for_bit(model, folder):
    loaded = load_model(folder)
    assert_same_weights(loaded.model, model)
    assert loaded.model.config == model.config
    assert not loaded.model.training
    assert not any(weight.requires_grad for weight in loaded.model.parameters())


def test_half_precision_on_disk_is_computed_with_in_float32(model, tmp_path):
    fingerprint = save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.fingerprint == fingerprint
    for name, weight in loaded.model.named_parameters():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, model.get_parameter(name).half().float())


def test_published_files_and_their_conversion_are_the_same_model(
    model, published, config, tmp_path
):
    loaded = load_official(published, config=config)
    assert_same_weights(loaded.model, model)
    converted = convert_official(published, tmp_path / "converted", config=config)
    assert converted == loaded.fingerprint == load_model(tmp_path / "converted").fingerprint
    assert loaded.fingerprint == save_model(model, tmp_path / "again", dtype=torch.float32)


def test_the_fingerprint_is_of_content_not_of_place(model, folder, tmp_path):
    first = load_model(folder).fingerprint
    moved = folder.rename(tmp_path / "elsewhere")
    assert load_model(moved).fingerprint == first
    model.guider.conv_in.bias.data[0] += 1
    assert save_model(model, tmp_path / "changed", dtype=torch.float32) != first


def test_one_part_can_be_loaded_alone(model, folder):
    (folder / "denoising_unet.safetensors").unlink()
    identity, fingerprint = load_part(folder, "identity")
    images = torch.zeros(1, 3, 16, 16)
    assert torch.equal(identity(images), model.identity(images))
    assert len(fingerprint) == 64


def test_saving_leaves_other_files_alone_and_no_leftovers(model, folder):
    (folder / "README.md").write_text("card")
    save_model(model, folder)
    names = {path.name for path in folder.iterdir()}
    assert names == {"README.md", "config.json"} | {f"{part}.safetensors" for part in PARTS}


def test_an_interrupted_save_is_recognised(model, folder, tmp_path):
    model.guider.conv_in.bias.data[0] += 1
    save_model(model, tmp_path / "next", dtype=torch.float32)
    shutil.copy(tmp_path / "next" / "guider.safetensors", folder)
    with pytest.raises(WeightsError, match=r"guider\.safetensors is not the file"):
        load_model(folder)


@pytest.mark.parametrize("name", ["config.json", "refiner.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
        load_model(folder)


def test_a_truncated_file_is_named(folder):
    path = folder / "vae.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"vae\.safetensors is damaged or truncated"):
        load_model(folder)


def test_keys_and_shapes_that_do_not_fit_are_named(folder):
    path = folder / "guider.safetensors"
    state = load_file(path)
    state["surprise"] = state.pop("conv_in.bias")
    state["conv_out.bias"] = state["conv_out.bias"][:3].clone()
    save_file(state, path)
    with pytest.raises(WeightsError) as caught:
        load_model(folder)
    message = str(caught.value)
    assert "missing keys conv_in.bias" in message
    assert "unexpected keys surprise" in message
    assert "conv_out.bias (3,) instead of (8,)" in message


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("not json", WeightsError),
        ('{"format": "other"}', WeightsError),
        ('{"format": "pose2id-ipg-1", "model": {"steps": 3}}', ParamsError),
    ],
)
def test_a_config_of_another_kind_is_refused(folder, text, error):
    (folder / "config.json").write_text(text)
    with pytest.raises(error):
        load_model(folder)


def test_sizes_that_contradict_one_another_are_refused(folder):
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content["model"]["guider"]["strides"] = [4]
    path.write_text(json.dumps(content))
    with pytest.raises(ParamsError, match="must multiply to the VAE's factor"):
        load_model(folder)


class _Malicious:
    def __reduce__(self):
        return print, ("code from a weights file was run",)


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(b""), "damaged or truncated"),
        (lambda path: path.write_bytes(path.read_bytes()[:-500]), "damaged or truncated"),
        (lambda path: path.write_bytes(pickle.dumps(_Malicious())), "refused"),
        (lambda path: torch.save({"x": _Malicious()}, path), "refused"),
        (lambda path: torch.save([1, 2], path), "not a plain state dict"),
        (lambda path: torch.save({"state_dict": {}}, path), "not a plain state dict"),
        (lambda path: torch.save({"norm_motion.bias": torch.zeros(3)}, path), "missing keys"),
    ],
)
def test_an_unusable_published_file_is_refused_by_name(published, config, damage, match, capsys):
    path = published / "IFR.pth"
    damage(path)
    with pytest.raises(WeightsError, match=match) as caught:
        load_official(published, config=config)
    assert "IFR.pth" in str(caught.value) or "refiner" in str(caught.value)
    assert capsys.readouterr().out == ""


def test_a_published_identity_network_with_camera_embedding_is_refused(published, config):
    path = published / "transformer_20.pth"
    state = torch.load(path, weights_only=True)
    state["module.base.sie_embed"] = torch.zeros(6, 1, 8)
    torch.save(state, path)
    with pytest.raises(WeightsError, match=r"unexpected keys base\.sie_embed"):
        load_official(published, config=config)
