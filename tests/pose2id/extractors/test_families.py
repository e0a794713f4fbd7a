"""The families of the paper: keys and shapes of the real files, strict loading, own inputs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pose2id.errors import DataError, ParamsError, WeightsError
from pose2id.extractors import clip_reid, isr, osnet, personvit, pmt, saai
from pose2id.extractors.base import InputSpec
from pose2id.extractors.clip_towers import (
    CLIP_RN50,
    CLIP_VIT_B16,
    ClipResnet,
    ClipResnetSize,
    ClipVit,
    ClipVitSize,
)
from pose2id.extractors.consistency import probe_pictures
from pose2id.extractors.registry import load_extractor
from pose2id.extractors.transreid import SIZES, TransReid, VitSize
from pose2id.generation.config import IdentityConfig
from pose2id.generation.identity_net import IdentityNet
from tests.pose2id.extractors.checkpoints import random_state, save

TINY_VIT = VitSize(24, 3, 2)
SMALL = InputSpec(64, 32, mean=(0.5,) * 3, std=(0.5,) * 3)
BLOCK = (
    *("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"),
    *("attn.qkv.weight", "attn.qkv.bias", "attn.proj.weight", "attn.proj.bias"),
    *("mlp.fc1.weight", "mlp.fc1.bias", "mlp.fc2.weight", "mlp.fc2.bias"),
)


@pytest.fixture
def tiny_vit(monkeypatch):
    for name in SIZES:
        monkeypatch.setitem(SIZES, name, TINY_VIT)


def shapes(make):
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in make().state_dict().items()}


def counted(state):
    """Numbers without the counters of batch normalisation."""
    return sum(int(np.prod(shape)) for key, shape in state.items() if "num_batches" not in key)


# --- keys and shapes of the published files


def test_transreid_has_the_keys_of_its_checkpoints():
    keys = shapes(lambda: TransReid(SIZES["base"], 210, 12, 6, True))
    branches = [f"{b}.0.{part}" for b in ("b1", "b2") for part in BLOCK]
    blocks = [f"base.blocks.{n}.{part}" for n in range(11) for part in BLOCK]
    heads = ["cls_token", "pos_embed", "sie_embed", "patch_embed.proj.weight"]
    heads += ["patch_embed.proj.bias"]
    norms = [f"{b}.1.{part}" for b in ("b1", "b2") for part in ("weight", "bias")]
    assert set(keys) == {*branches, *blocks, *norms, *(f"base.{name}" for name in heads)}
    assert keys["base.pos_embed"] == (1, 211, 768)
    assert keys["base.sie_embed"] == (6, 1, 768)
    assert keys["base.blocks.0.attn.qkv.weight"] == (2304, 768)
    plain = shapes(lambda: TransReid(SIZES["base"], 128, 16, 0, False))
    assert {"base.blocks.11.mlp.fc2.bias", "base.norm.weight"} < set(plain)
    assert plain["base.pos_embed"] == (1, 129, 768)


def test_pmt_and_personvit_have_the_keys_of_their_checkpoints():
    keys = shapes(lambda: pmt.Pmt(210))
    assert keys["bottleneck.running_mean"] == (768,)
    assert keys["base.pos_embed"] == (1, 211, 768)
    assert "base.sie_embed" not in keys
    assert keys["base.patch_embed.proj.weight"] == (768, 3, 16, 16)
    small = shapes(lambda: personvit.PersonVit(SIZES["small"], 128, 16))
    assert small["base.norm.weight"] == (384,)
    assert len([key for key in small if key.startswith("base.blocks.")]) == 12 * len(BLOCK)


def test_clip_reid_has_the_keys_of_its_checkpoints():
    vit = shapes(lambda: clip_reid.ClipReid(ClipVit(CLIP_VIT_B16, 128, 16), 6))
    block = "image_encoder.transformer.resblocks.11."
    assert vit["cv_embed"] == (6, 768)
    assert vit["image_encoder.positional_embedding"] == (129, 768)
    assert vit["image_encoder.proj"] == (768, 512)
    assert vit[block + "attn.in_proj_weight"] == (2304, 768)
    assert {block + name for name in ("mlp.c_fc.bias", "mlp.c_proj.weight", "ln_2.bias")} < set(vit)
    assert counted({k: v for k, v in vit.items() if k != "cv_embed"}) == 86_140_416
    cnn = shapes(lambda: clip_reid.ClipReid(ClipResnet(CLIP_RN50, 128)))
    assert cnn["image_encoder.attnpool.positional_embedding"] == (129, 2048)
    assert cnn["image_encoder.attnpool.c_proj.weight"] == (1024, 2048)
    assert cnn["image_encoder.layer4.0.downsample.0.weight"] == (2048, 1024, 1, 1)
    assert cnn["image_encoder.conv3.weight"] == (64, 32, 3, 3)


@pytest.mark.parametrize(
    ("variant", "millions"),
    # Parameters of the body as published (without the classifier)
    [("x0_25", 0.2), ("x0_5", 0.6), ("x0_75", 1.3), ("x1_0", 2.2), ("ain_x1_0", 2.2)],
)
def test_osnet_has_the_published_number_of_parameters(variant, millions):
    keys = shapes(lambda: osnet.Osnet(osnet.VARIANTS[variant]))
    body = {k: v for k, v in keys.items() if "running" not in k}
    assert counted(body) / 1e6 == pytest.approx(millions, abs=0.05)


def test_osnet_has_the_keys_of_its_checkpoints():
    keys = shapes(lambda: osnet.Osnet(osnet.VARIANTS["ibn_x1_0"]))
    assert keys["conv2.0.conv2d.3.conv2.weight"] == (64, 1, 3, 3)
    assert keys["conv2.0.IN.weight"] == keys["conv2.1.IN.bias"] == (256,)
    assert keys["conv2.2.0.conv.weight"] == (256, 256, 1, 1)
    assert keys["conv3.0.downsample.bn.running_var"] == (384,)
    assert keys["conv4.1.gate.fc1.weight"] == (8, 128, 1, 1)
    assert keys["fc.0.weight"] == (512, 512)
    assert "conv1.bn.running_mean" not in keys
    assert "conv3.0.IN.weight" not in keys
    ain = shapes(lambda: osnet.Osnet(osnet.VARIANTS["ain_x1_0"]))
    assert ain["conv2.0.conv2.3.layers.3.conv1.weight"] == (64, 64, 1, 1)
    assert ain["pool3.0.bn.weight"] == (384,)
    normalised = {key.rpartition(".IN")[0] for key in ain if ".IN." in key}
    assert normalised == {"conv2.0", "conv2.1", "conv3.1", "conv4.0"}
    assert "conv2.0.conv3.bn.weight" not in ain
    assert "conv4.1.conv3.bn.weight" in ain


def test_isr_has_the_keys_of_its_checkpoint():
    keys = shapes(isr.Isr)
    assert keys["model.layers.2.blocks.17.attn.relative_position_bias_table"] == (169, 16)
    assert keys["model.layers.0.downsample.reduction.weight"] == (256, 512)
    assert keys["model.layers.3.blocks.1.mlp.fc1.bias"] == (4096,)
    assert keys["feat.weight"] == (512, 1024)
    assert "model.layers.3.downsample.norm.weight" not in keys
    # Swin-B without its classifier, as published, and the 512-d layer
    assert counted(keys) == 86_743_224 + 512 * 1025


def test_saai_has_the_keys_of_its_checkpoints():
    keys = shapes(lambda: saai.Saai(6, 2, 162))
    assert keys["attn_pool.part_tokens"] == (6, 2048)
    assert keys["attn_pool.pos_embeding"] == (162, 2048)
    assert keys["bn_neck.bn_neck_i.weight"] == (14336,)
    assert keys["backbone.MAM3.channel_attention.0.weight"] == (64, 1024, 1, 1)
    assert keys["backbone.layer4.2.conv3.weight"] == (2048, 512, 1, 1)
    resnet = {k: v for k, v in keys.items() if k.startswith("backbone.") and "MAM" not in k}
    weights = {k: v for k, v in resnet.items() if "running" not in k}
    assert counted(weights) == 23_508_032  # ResNet-50 without its classifier


# --- what they compute


def test_transreid_equals_the_identity_network_that_was_checked_against_the_authors():
    config = IdentityConfig(height_px=64, width_px=32, embed_dim=24, depth=3, heads=2)
    peer = IdentityNet(config).eval()
    ours = TransReid(TINY_VIT, config.n_patches, 12, 0, True).eval()
    ours.load_state_dict(peer.state_dict())
    images = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(ours(images), peer(images))


def test_camera_embedding_is_three_times_its_row_on_every_token(tiny_vit, tmp_path):
    network = TransReid(TINY_VIT, 10, 12, 4, True)
    path = save(tmp_path / "a.pth", network)
    options = {"cameras": 4}
    extractor = load_extractor("transreid", path, input=SMALL, options=options, device="cpu")
    pictures = probe_pictures(SMALL)
    state = torch.load(path, weights_only=True)
    moved = dict(state)
    moved["base.pos_embed"] = state["base.pos_embed"] + 3 * state["base.sie_embed"][2]
    torch.save(moved, tmp_path / "b.pth")
    without = {"cameras": 4, "camera_embedding": "none"}
    shifted = load_extractor("transreid", tmp_path / "b.pth", input=SMALL, options=without)
    of_camera = extractor(pictures, np.array([2, 2, 2]))
    assert np.allclose(of_camera, shifted(pictures), atol=1e-5)
    drawing = extractor(pictures, np.array([2, -1, -1]))
    plain = load_extractor("transreid", path, input=SMALL, options=without)
    assert np.allclose(drawing[0], of_camera[0], atol=1e-5)
    assert np.allclose(drawing[1:], plain(pictures)[1:], atol=1e-5)
    assert not np.allclose(drawing[1:], of_camera[1:], atol=1e-2)
    assert (extractor.side, plain.side) == ("camera", "none")
    with pytest.raises(DataError, match=r"knows 4 camera.*\[4\]"):
        extractor(pictures, np.array([4, 4, 4]))


def test_clip_vit_equals_transformers():
    transformers = pytest.importorskip("transformers", reason="the extra 'controlnet'")
    config = transformers.CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=64,
        projection_dim=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
        hidden_act="quick_gelu",
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        peer = transformers.CLIPVisionModelWithProjection(config).eval()
    ours = ClipVit(ClipVitSize(16, 2, 2, 8), 4, 16).eval()
    state = peer.state_dict()
    renamed = {
        "class_embedding": state["vision_model.embeddings.class_embedding"],
        "positional_embedding": state["vision_model.embeddings.position_embedding.weight"],
        "conv1.weight": state["vision_model.embeddings.patch_embedding.weight"],
        "proj": state["visual_projection.weight"].T,
    }
    for part in ("weight", "bias"):
        renamed[f"ln_pre.{part}"] = state[f"vision_model.pre_layrnorm.{part}"]
        renamed[f"ln_post.{part}"] = state[f"vision_model.post_layernorm.{part}"]
        for n in range(2):
            theirs, mine = f"vision_model.encoder.layers.{n}.", f"transformer.resblocks.{n}."
            joined = [state[f"{theirs}self_attn.{x}_proj.{part}"] for x in "qkv"]
            renamed[f"{mine}attn.in_proj_{part}"] = torch.cat(joined)
            for ours_name, their_name in (
                ("attn.out_proj", "self_attn.out_proj"),
                ("ln_1", "layer_norm1"),
                ("ln_2", "layer_norm2"),
                ("mlp.c_fc", "mlp.fc1"),
                ("mlp.c_proj", "mlp.fc2"),
            ):
                renamed[f"{mine}{ours_name}.{part}"] = state[f"{theirs}{their_name}.{part}"]
    ours.load_state_dict(renamed)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = peer(pixel_values=images).image_embeds
        assert torch.allclose(ours(images)[:, 16:], expected, atol=1e-5)


def test_swin_equals_transformers():
    transformers = pytest.importorskip("transformers", reason="the extra 'controlnet'")
    config = transformers.SwinConfig(
        image_size=56, embed_dim=8, depths=[2, 2], num_heads=[1, 2], window_size=7
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        peer = transformers.SwinModel(config).eval()
    for module in peer.modules():
        if isinstance(module, torch.nn.LayerNorm):
            torch.nn.init.normal_(module.bias, generator=torch.Generator().manual_seed(2))
    names = {
        "embeddings.patch_embeddings.projection": "patch_embed.proj",
        "embeddings.norm": "patch_embed.norm",
        "encoder.layers": "layers",
        "layernorm_before": "norm1",
        "layernorm_after": "norm2",
        "attention.relative_position_bias.": "attn.",
        "attention.o_proj": "attn.proj",
        "layernorm.": "norm.",
    }
    state, joined = {}, {}
    for key, value in peer.state_dict().items():
        for theirs, mine in names.items():
            key = key.replace(theirs, mine)
        block, attention, tensor = key.partition(".attention.")
        if attention:
            part, _, kind = tensor.partition("_proj.")
            joined.setdefault(f"{block}.attn.qkv.{kind}", {})[part] = value
        elif not key.endswith("relative_position_index"):
            state[key] = value
    state |= {key: torch.cat([parts[x] for x in "qkv"]) for key, parts in joined.items()}
    ours = isr.Swin(isr.SwinSize(8, (2, 2), (1, 2), 7), 56).eval()
    ours.load_state_dict(state)
    images = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.allclose(ours(images), peer(images).pooler_output, atol=1e-5)


def test_saai_normalises_by_modality(tmp_path):
    spec = InputSpec(32, 32)
    options = {"parts": 2, "modality_attention": 2}
    path = save(
        tmp_path / "saai.pth",
        saai.Saai(2, 2, 4),
        extra={"visible_classifier_.weight": (9, 6144), "classifier.weight": (9, 6144)},
    )
    extractor = load_extractor("saai", path, input=spec, options=options, device="cpu")
    pictures = probe_pictures(spec)
    visible, infrared = (extractor(pictures, np.full(3, side)) for side in (0, 1))
    mixed = extractor(pictures, np.array([0, 1, -1]))
    assert (extractor.dim, extractor.side) == (6144, "modality")
    assert np.allclose(mixed, [visible[0], infrared[1], visible[2]], rtol=1e-4, atol=1e-4)
    assert not np.allclose(visible, infrared, atol=1e-2)
    with pytest.raises(WeightsError, match=r"trained for 2 parts.*options\.parts makes it 6"):
        load_extractor("saai", path, input=spec)
    with pytest.raises(WeightsError, match=r"trained for 4 cells.*288x144 px\) makes it 162"):
        load_extractor("saai", path, options=options)


# --- loading


def test_every_family_loads_what_training_saves(tiny_vit, tmp_path, monkeypatch):
    monkeypatch.setattr(clip_reid, "CLIP_VIT_B16", ClipVitSize(24, 2, 2, 8))
    monkeypatch.setattr(clip_reid, "CLIP_RN50", ClipResnetSize(8, (1, 1, 1, 1), 4, 16))
    swin = isr.SwinSize(8, (2, 2), (1, 2), 7)
    monkeypatch.setattr(isr, "Isr", lambda make=isr.Isr: make(swin))
    text = {"prompt_learner.cls_ctx": (4, 4), "text_encoder.ln_final.bias": (4,)}
    cases = [
        (
            ("transreid", {"stride": 16, "jpm": False, "size": "small"}, SMALL),
            TransReid(TINY_VIT, 8, 16, 0, False),
            {"classifier.weight": (9, 24), "bottleneck.weight": (24,), "base.fc.bias": (1000,)},
        ),
        (
            ("transreid", {"cameras": 3}, SMALL),
            TransReid(TINY_VIT, 10, 12, 3, True),
            {
                "base.blocks.2.norm1.bias": (24,),
                "base.norm.bias": (24,),
                "classifier_4.weight": (9,),
            },
        ),
        (("pmt", {}, SMALL), pmt.Pmt(10), {"classifier.weight": (9, 24)}),
        (
            ("personvit", {"size": "tiny"}, SMALL),
            personvit.PersonVit(TINY_VIT, 8, 16),
            {"base.fc.weight": (1000, 24), "bottleneck.running_mean": (24,)},
        ),
        (("osnet", {"variant": "x0_25"}, SMALL), osnet.Osnet(osnet.VARIANTS["x0_25"]), {}),
        (
            ("clip_reid", {"cameras": 2}, SMALL),
            clip_reid.ClipReid(ClipVit(clip_reid.CLIP_VIT_B16, 8, 16), 2),
            {"classifier_proj.weight": (9, 8), **text},
        ),
        (
            ("clip_reid", {"backbone": "cnn"}, SMALL),
            clip_reid.ClipReid(ClipResnet(clip_reid.CLIP_RN50, 8)),
            {"bottleneck_proj.running_var": (16,), **text},
        ),
        (("isr", {}, None), isr.Isr(), {"model.head.weight": (1000, 16)}),
    ]
    for number, ((name, options, spec), network, extra) in enumerate(cases):
        wrap, prefix = (None, "module.") if number % 2 else ("state_dict", "")
        path = save(tmp_path / f"{number}.pth", network, extra=extra, wrap=wrap, prefix=prefix)
        extractor = load_extractor(name, path, input=spec, options=options, device="cpu")
        pictures = probe_pictures(extractor.input_spec)
        features = extractor(pictures)
        assert features.shape == (3, extractor.dim), name
        assert np.isfinite(features).all(), name
        singly = np.concatenate([extractor(picture[None]) for picture in pictures])
        assert np.allclose(features, singly, rtol=1e-3, atol=1e-4), name
        assert not np.allclose(features[0], features[1]), name
        assert extractor.files == (path,)
        torch.save({"not.a.key": torch.zeros(1)}, path)
        with pytest.raises(WeightsError, match=r"missing keys.*unexpected keys not\.a\.key"):
            load_extractor(name, path, input=spec, options={**options, **_no_cameras(options)})


def _no_cameras(options):
    return {"cameras": 0} if "cameras" in options else {}


def test_other_camera_count_or_picture_size_says_both_numbers(tiny_vit, tmp_path):
    path = save(tmp_path / "a.pth", TransReid(TINY_VIT, 10, 12, 6, True))

    def load(spec=SMALL, **options):
        return load_extractor("transreid", path, input=spec, options=options)

    with pytest.raises(WeightsError, match=r"6 cameras.*options\.cameras makes it 15.*"):
        load(cameras=15)
    with pytest.raises(WeightsError, match=r"6 cameras.*makes it 0.*camera_embedding: none"):
        load()
    with pytest.raises(WeightsError, match=r"10 patches.*256x128 px\) with stride 12 makes it 210"):
        load(None, cameras=6)
    with pytest.raises(WeightsError, match=r"10 patches.*stride 16 makes it 8.*options\.stride"):
        load(cameras=6, stride=16)
    with pytest.raises(WeightsError, match=r"options\.jpm to true"):
        load(cameras=6, jpm=False)
    with pytest.raises(ParamsError, match=r"8x4 px; at least 16 px"):
        load(InputSpec(8, 4), cameras=6)
    with pytest.raises(ParamsError, match="knows no cameras"):
        load_extractor("clip_reid", path, options={"backbone": "cnn", "cameras": 6})
    with pytest.raises(ParamsError, match="224x224"):
        load_extractor("isr", path, input=SMALL)


def test_unsafe_damaged_and_foreign_files_are_weights_errors(tmp_path):
    path = tmp_path / "a.pth"

    def message():
        with pytest.raises(WeightsError) as caught:
            load_extractor("osnet", path)
        return str(caught.value)

    assert "there is no network" in message()
    torch.save({"fc.weight": SMALL}, path)
    assert "would run code" in message()
    path.write_bytes(b"PK\x03\x04 and nothing more")
    assert "damaged" in message()
    path.write_bytes(b"")
    assert "damaged" in message()
    torch.save([torch.zeros(1)], path)
    assert "holds a list, no state dict" in message()
    torch.save({"fc": 3}, path)
    assert "fc is no tensors" in message()
    (tmp_path / "b.pth").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"found: a\.pth, b\.pth"):
        load_extractor("osnet", tmp_path)
    with pytest.raises(WeightsError, match="a file ending in"):
        load_extractor("osnet", tmp_path / "a.txt")
    (tmp_path / "c.safetensors").write_bytes(b"12345678")
    with pytest.raises(WeightsError, match="no safetensors file"):
        load_extractor("osnet", tmp_path / "c.safetensors")


def test_half_precision_and_missing_counters_are_fine(tmp_path):
    state = random_state(osnet.Osnet(osnet.VARIANTS["x0_25"]))
    half = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
        if "num_batches_tracked" not in name
    }
    torch.save(half, tmp_path / "a.pth")
    extractor = load_extractor(
        "osnet", tmp_path, input=SMALL, options={"variant": "x0_25"}, device="cpu"
    )
    assert extractor(probe_pictures(SMALL)).dtype == np.float32


def test_the_generators_identity_network_is_an_extractor():
    extractor = load_extractor("ipg_identity", "models/ipg-small", device="cpu")
    assert (extractor.dim, extractor.input_spec.height_px) == (420, 128)
    assert np.isfinite(extractor(probe_pictures(extractor.input_spec))).all()
    with pytest.raises(ParamsError, match=r"leave features\.input out"):
        load_extractor("ipg_identity", "models/ipg-small", input=SMALL)


def test_folders_of_the_package_reid(tmp_path):
    network = osnet.Osnet(osnet.VARIANTS["x0_25"])
    config = {
        "architecture": "osnet_x0_25",
        "preprocessing": {
            "input_size": [64, 32],
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bilinear",
            "to_rgb": True,
            "resize_mode": "stretch",
            "pad_value": 114,
        },
    }
    file = tmp_path / "reid_config.json"

    def write(**changes):
        file.write_text(json.dumps({**config, **changes}))

    save_file(random_state(network), tmp_path / "weights.safetensors")
    with pytest.raises(WeightsError, match=r"no reid_config\.json"):
        load_extractor("reid_folder", tmp_path)
    write()
    extractor = load_extractor("reid_folder", tmp_path, device="cpu")
    assert (extractor.dim, extractor.input_spec) == (512, SMALL)
    assert {path.name for path in extractor.files} == {"reid_config.json", "weights.safetensors"}
    write(preprocessing={"resize_mode": "letterbox"})
    with pytest.raises(ParamsError, match="'letterbox'; only 'stretch'"):
        load_extractor("reid_folder", tmp_path)
    write(architecture="fastreid_sbs_resnest50")
    with pytest.raises(ParamsError, match=r"fastreid_sbs_resnest50.*ONNX"):
        load_extractor("reid_folder", tmp_path)
    for text in (
        "[",
        "[]",
        '{"architecture": 1, "preprocessing": {"input_size": [1]}}',
        "[" * 9999,
    ):
        file.write_text(text)
        with pytest.raises(WeightsError, match="no configuration of the package reid"):
            load_extractor("reid_folder", tmp_path)
