import importlib.util
import shutil

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from PIL import Image
from safetensors.torch import save_file

from pose2id.errors import DataError, MissingDependencyError, ParamsError, WeightsError
from pose2id.generation.controlnet import ADAPTER_FILE, ControlNetGenerator

needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None,
    reason="the extra `controlnet` (transformers) is not installed",
)
WIDTH = 8  # of prompt and picture embeddings
SEEDS = np.arange(6, dtype=np.uint64).reshape(3, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tiny random components in the layout that a user would have on disk."""
    pytest.importorskip("transformers")
    from diffusers import StableDiffusionControlNetPipeline
    from transformers import (
        CLIPImageProcessor,
        CLIPTextConfig,
        CLIPTextModel,
        CLIPTokenizer,
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
    )

    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(8, 16),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=WIDTH,
            attention_head_dim=2,
            norm_num_groups=4,
        )
        controlnet = ControlNetModel.from_unet(unet, conditioning_channels=3)
        controlnet.controlnet_mid_block.weight.data.normal_()  # zero at birth: poses would be mute
        for block in controlnet.controlnet_down_blocks:
            block.weight.data.normal_()
        controlnet.controlnet_cond_embedding.conv_out.weight.data.normal_()
        vae = AutoencoderKL(
            block_out_channels=(8, 8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            norm_num_groups=4,
        )
        sizes = {
            "hidden_size": WIDTH,
            "intermediate_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
        }
        letters = [chr(c) for c in range(ord("a"), ord("z") + 1)] + [",", "-"]
        words = letters + [f"{x}</w>" for x in letters] + ["<|startoftext|>", "<|endoftext|>"]
        text_config = CLIPTextConfig(vocab_size=len(words), max_position_embeddings=77, **sizes)
        text_config.bos_token_id, text_config.eos_token_id = len(words) - 2, len(words) - 1
        pipeline = StableDiffusionControlNetPipeline(
            vae=vae,
            text_encoder=CLIPTextModel(text_config),
            tokenizer=CLIPTokenizer(
                vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77
            ),
            unet=unet,
            controlnet=controlnet,
            scheduler=DDIMScheduler(),
            safety_checker=None,
            feature_extractor=CLIPImageProcessor(size=16, crop_size=16),
            image_encoder=CLIPVisionModelWithProjection(
                CLIPVisionConfig(image_size=16, patch_size=8, projection_dim=WIDTH, **sizes)
            ),
            requires_safety_checker=False,
        )
        n_tokens = 4  # what diffusers takes every plain IP-Adapter to have
        adapter = {
            "image_proj.proj.weight": torch.randn(n_tokens * WIDTH, WIDTH),
            "image_proj.proj.bias": torch.randn(n_tokens * WIDTH),
            "image_proj.norm.weight": torch.ones(WIDTH),
            "image_proj.norm.bias": torch.zeros(WIDTH),
        }
        widths = [
            module.to_k.out_features
            for name, module in unet.named_modules()
            if name.endswith("attn2")
        ]
        # Counted as IP-Adapter files do: each cross-attention has an odd number.
        order = [8, 8, 8, 16]
        assert sorted(widths) == order
        for i, width in enumerate(order):
            for kind in "kv":
                adapter[f"ip_adapter.{2 * i + 1}.to_{kind}_ip.weight"] = torch.randn(width, WIDTH)
    path = tmp_path_factory.mktemp("controlnet")
    pipeline.save_pretrained(path)
    save_file(adapter, path / ADAPTER_FILE)
    return path


def load(folder, **options):
    options = {"steps": 2, "guidance_scale": 2.0, "batch_size": 2, "device": "cpu", **options}
    return ControlNetGenerator.load(folder, **options)


@pytest.fixture(scope="module")
def generator(folder):
    return load(folder)


@needs_transformers
def test_pictures_have_the_promised_shape(generator, references, keypoints):
    pictures = generator(references[:2], keypoints[:2], SEEDS[:2])
    assert pictures.shape == (2, 2, 128, 64, 3)
    assert (generator.height_px, generator.width_px) == (128, 64)
    assert pictures.dtype == np.uint8


@needs_transformers
def test_a_batch_of_one_equals_a_batch_of_many(generator, references, keypoints):
    many = generator(references[:2], keypoints[:2], SEEDS[:2])
    for row in range(2):
        one = generator(references[row : row + 1], keypoints[:2], SEEDS[row : row + 1])
        assert np.array_equal(one[0], many[row])


@needs_transformers
def test_reference_pose_and_seed_each_change_the_picture(generator, references, keypoints):
    base = generator(references[:1], keypoints[:1], SEEDS[:1, :1])
    for changed in (
        (references[1:2], keypoints[:1], SEEDS[:1, :1]),
        (references[:1], keypoints[1:2], SEEDS[:1, :1]),
        (references[:1], keypoints[:1], SEEDS[1:2, :1]),
    ):
        assert not np.array_equal(base, generator(*changed))


@needs_transformers
def test_without_guidance_it_runs_too(folder, references, keypoints):
    pictures = load(folder, guidance_scale=1.0, batch_size=1)(
        references[:1], keypoints[:1], SEEDS[:1, :1]
    )
    assert pictures.std() > 0


@needs_transformers
def test_the_fingerprint_covers_weights_and_sampling(folder, generator):
    assert load(folder).fingerprint == generator.fingerprint
    assert load(folder, steps=3).fingerprint != generator.fingerprint
    other = load(folder)
    other._pipeline.controlnet.conv_in.bias.data += 1
    assert other._hash() != generator.fingerprint


@needs_transformers
def test_shapes_that_do_not_fit_are_refused(generator, references, keypoints):
    with pytest.raises(DataError, match="takes 1 to 2"):
        generator(references[:3], keypoints[:2], SEEDS)


@needs_transformers
@pytest.mark.parametrize("missing", ["model_index.json", ADAPTER_FILE, "unet"])
def test_missing_files_are_named(folder, tmp_path, missing):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    target = copy / missing
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    with pytest.raises(WeightsError, match=missing):
        load(copy)


@needs_transformers
def test_a_truncated_adapter_is_refused(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / ADAPTER_FILE).write_bytes((copy / ADAPTER_FILE).read_bytes()[:-50])
    with pytest.raises(WeightsError, match="cannot be loaded"):
        load(copy)


def test_without_transformers_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pose2id\[controlnet\]"):
        load(tmp_path)


@needs_transformers
def test_impossible_options_are_refused(generator):
    with pytest.raises(ParamsError, match="must be 1 or more"):
        ControlNetGenerator(generator._pipeline, steps=0)


@needs_transformers
def test_any_picture_mode_is_accepted(generator, keypoints):
    grey = Image.new("L", (12, 30), 90)
    assert generator([grey], keypoints[:1], SEEDS[:1, :1]).shape[:2] == (1, 1)
