import copy
import logging

import numpy as np
import pytest
import torch
from PIL import Image

from pose2id.errors import DataError, ParamsError
from pose2id.generation.checkpoints import save_model
from pose2id.generation.config import IpgConfig
from pose2id.generation.ipg import IpgGenerator
from pose2id.generation.model import IpgModel
from pose2id.generation.sampler import Sampling

SEEDS = np.arange(15, dtype=np.uint64).reshape(5, 3) + np.uint64(2**63)


# Grey levels by which a precision may move the pictures of random weights, on average.
MOVES = {"float32": 0.1, "bfloat16": 4.0, "float16": 1.0}


def generator(model, *, weights="abc", batch_size=3, guidance_scale=2.0, steps=2, **options):
    sampling = Sampling("ddim", steps, guidance_scale)
    options = {"device": "cpu", **options}
    return IpgGenerator(model, weights, sampling, batch_size=batch_size, **options)


def moved(pictures, others):
    """Mean difference in grey levels."""
    return np.abs(pictures.astype(int) - others).mean()


def test_pictures_have_the_promised_shape_and_are_not_all_alike(model, references, keypoints):
    make = generator(model)
    pictures = make(references[:3], keypoints, SEEDS[:3])
    assert pictures.shape == (3, 3, make.height_px, make.width_px, 3)
    assert pictures.dtype == np.uint8
    flat = pictures.reshape(9, -1)
    assert len(np.unique(flat, axis=0)) == 9


def test_a_batch_of_one_equals_a_batch_of_many(model, references, keypoints):
    make = generator(model)
    many = make(references[:3], keypoints, SEEDS[:3])
    for row in range(3):
        one = make(references[row : row + 1], keypoints, SEEDS[row : row + 1])
        assert np.array_equal(one[0], many[row])


def test_the_order_of_references_does_not_matter(model, references, keypoints):
    make = generator(model)
    order = [4, 0, 2]
    forward = make([references[i] for i in order], keypoints, SEEDS[order])
    backward = make([references[i] for i in order[::-1]], keypoints, SEEDS[order[::-1]])
    assert np.array_equal(forward, backward[::-1])


def test_reference_pose_and_seed_each_change_the_picture(model, references, keypoints):
    make = generator(model, batch_size=1)
    base = make(references[:1], keypoints[:1], SEEDS[:1, :1])
    assert not np.array_equal(base, make(references[1:2], keypoints[:1], SEEDS[:1, :1]))
    assert not np.array_equal(base, make(references[:1], keypoints[1:2], SEEDS[:1, :1]))
    assert not np.array_equal(base, make(references[:1], keypoints[:1], SEEDS[:1, 1:2]))
    assert np.array_equal(base, make(references[:1], keypoints[:1], SEEDS[:1, :1]))


def test_pictures_of_any_mode_are_accepted(model, keypoints):
    make = generator(model)
    grey = Image.new("L", (10, 20), 80)
    pictures = make([grey, grey.convert("RGB"), grey.convert("RGBA")], keypoints[:1], SEEDS[:3, :1])
    same_seed = make([grey, grey.convert("RGB")], keypoints[:1], SEEDS[[0, 0], :1])
    assert pictures.shape[:2] == (3, 1)
    assert np.array_equal(same_seed[0], same_seed[1])


def test_pictures_are_handed_out_at_the_configured_size(config, references, keypoints):
    smaller = config.model_copy(update={"output_height_px": 8, "output_width_px": 4})
    torch.manual_seed(0)
    make = generator(IpgModel(IpgConfig.model_validate(smaller.model_dump())), batch_size=1)
    assert make(references[:1], keypoints, SEEDS[:1]).shape == (1, 3, 8, 4, 3)


def test_half_precision_changes_little(model, references, keypoints):
    expected = generator(model, steps=1)(references[:3], keypoints, SEEDS[:3]).astype(int)
    half = generator(model, steps=1, dtype="bfloat16")
    found = half(references[:3], keypoints, SEEDS[:3])
    assert np.abs(found - expected).mean() < 2


def test_too_little_gpu_memory_means_smaller_groups(
    model, references, keypoints, monkeypatch, caplog
):
    make = generator(model)
    expected = make(references[:3], keypoints, SEEDS[:3])
    draw_rows, sizes = make._draw_rows, []

    def out_of_memory_above_three(rows, identity):
        sizes.append(len(rows.noise))
        if len(rows.noise) > 3:
            raise torch.cuda.OutOfMemoryError
        return draw_rows(rows, identity)

    monkeypatch.setattr(make, "_draw_rows", out_of_memory_above_three)
    with caplog.at_level(logging.WARNING):
        found = make(references[:3], keypoints, SEEDS[:3])
    assert sizes == [9, 5, 3, 3, 3]
    assert "drawing 3 pictures at once" in caplog.text
    assert np.abs(found.astype(int) - expected).max() <= 1
    sizes.clear()
    make(references[:3], keypoints, SEEDS[:3])
    assert sizes == [3, 3, 3]  # it does not try in vain again


def test_the_fingerprint_covers_weights_sampling_and_precision(model):
    prints = {
        generator(model).fingerprint,
        generator(model, steps=3).fingerprint,
        generator(model, guidance_scale=1.0).fingerprint,
        generator(model, dtype="bfloat16").fingerprint,
    }
    prints.add(generator(model, weights="def").fingerprint)
    assert len(prints) == 5
    assert generator(model).fingerprint == generator(model, batch_size=1).fingerprint


def test_a_loaded_generator_draws_what_the_saved_model_draws(
    model, references, keypoints, tmp_path
):
    weights = save_model(model, tmp_path, dtype=torch.float32)
    loaded = IpgGenerator.load(
        tmp_path, solver="ddim", steps=2, guidance_scale=2.0, batch_size=3, device="cpu"
    )
    make = generator(model, weights=weights)
    assert loaded.fingerprint == make.fingerprint
    arguments = (references[:3], keypoints, SEEDS[:3])
    assert np.array_equal(loaded(*arguments), make(*arguments))


@pytest.mark.parametrize(
    ("n_references", "pose_shape", "seed_shape", "match"),
    [
        (0, (2, 18, 3), (0, 2), "takes 1 to 3"),
        (4, (2, 18, 3), (4, 2), "takes 1 to 3"),
        (1, (2, 17, 3), (1, 2), "key points have shape"),
        (1, (0, 18, 3), (1, 0), "key points have shape"),
        (2, (2, 18, 3), (1, 2), "noise_seeds has shape"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    model, references, n_references, pose_shape, seed_shape, match
):
    with pytest.raises(DataError, match=match):
        generator(model)(
            references[:n_references],
            np.zeros(pose_shape, np.float32),
            np.zeros(seed_shape, np.uint64),
        )


@pytest.mark.parametrize("options", [{"device": "tpu"}, {"dtype": "int8"}, {"batch_size": 0}])
def test_impossible_options_are_refused(model, options):
    with pytest.raises(ParamsError, match="allowed"):
        IpgGenerator(model, "", Sampling(), **options)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_layout_of_a_card_moves_pictures_by_roundings(model, references, keypoints, dtype):
    expected = generator(copy.deepcopy(model))(references[:3], keypoints, SEEDS[:3])
    model = copy.deepcopy(model).to(memory_format=torch.channels_last)
    found = generator(model, dtype=dtype)(references[:3], keypoints, SEEDS[:3])
    assert moved(found, expected) < MOVES[dtype]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA card")
@pytest.mark.parametrize("dtype", sorted(MOVES))
def test_a_card_draws_what_the_cpu_draws(model, references, keypoints, dtype):
    expected = generator(copy.deepcopy(model))(references[:3], keypoints, SEEDS[:3])
    on_card = generator(copy.deepcopy(model), device="cuda", dtype=dtype)
    found = on_card(references[:3], keypoints, SEEDS[:3])
    assert moved(found, expected) < MOVES[dtype]
