"""Small odd networks that lie beside a checkout, and the doctor's findings about them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pose2id.errors import WeightsError
from pose2id.extractors.base import InputSpec
from pose2id.extractors.consistency import check_consistency, probe_pictures
from pose2id.extractors.doctor import Labelled, examine, unusable
from pose2id.extractors.registry import load_extractor

pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
SPEC = InputSpec(16, 8)


@pytest.fixture
def odd(shared):
    folder = shared / "cases"
    if not folder.is_dir():
        pytest.skip(f"needs the odd networks in {folder}")
    return lambda name: load_extractor("onnx", folder / f"{name}.onnx", input=SPEC, device="cpu")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bn_train", "exported in training mode"),
        ("resh", r"frozen when it was exported. Set features\.batch_size to 1"),
        ("nan", "NaN or infinite features"),
        ("zeros", "features of zeros"),
    ],
)
def test_odd_networks_are_refused_at_load(odd, name, message):
    extractor = odd(name)
    with pytest.raises(WeightsError, match=message):
        check_consistency(extractor, 32)
    assert unusable(examine(extractor, 32))


def test_a_network_frozen_at_one_picture_runs_one_by_one(odd):
    check_consistency(odd("resh"), 1)


def test_channels_last_is_named(odd):
    with pytest.raises(WeightsError, match="channels come last"):
        odd("nhwc")


def test_an_axis_of_one_is_dropped(odd):
    extractor = odd("b1d")
    assert extractor(probe_pictures(SPEC)).shape == (3, extractor.dim)
    check_consistency(extractor, 32)


class Colours:
    """The mean colours of four bands: finds the same board again."""

    name, fingerprint, dim, input_spec = "colours", "", 12, SPEC
    side, files = "none", ()

    def __call__(self, images, sides=None):
        bands = images.reshape(len(images), 4, 4, 8, 3).mean(axis=(2, 3))
        return (bands.reshape(len(images), 12) - 127).astype(np.float32)


class Grey(Colours):
    """Tells nothing apart."""

    def __call__(self, images, sides=None):
        steps = np.arange(12) * 1e-9 * images.mean(axis=(1, 2, 3))[:, None]
        return (1 + steps).astype(np.float32)


def _labelled(n_people=6, per_person=4):
    rng = np.random.default_rng(0)
    boards = rng.integers(0, 256, (n_people, 4, 1, 3))
    pids = np.repeat(np.arange(n_people), per_person)
    sources = []
    for pid in pids:
        noisy = np.clip(boards[pid] + rng.normal(0, 4, (4, 8, 3)), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(np.repeat(noisy, 4, axis=0)).save(buffer, "PNG")
        sources.append(buffer.getvalue)
    camids = np.tile(np.arange(per_person), n_people)
    return Labelled(sources, pids, camids, camids)


def test_a_good_network_passes_with_its_score():
    findings = {item.check: item for item in examine(Colours(), 8, _labelled())}
    assert not unusable(list(findings.values()))
    assert findings["retrieval"].verdict == "ok"
    assert findings["retrieval"].found.startswith("mAP 100.0 on 24 pictures")
    assert findings["alone and in a batch"].found == "cosine 1.000000"
    assert "pictures/s in batches of 8" in findings["speed"].found


def test_without_cameras_no_picture_finds_itself():
    labelled = _labelled(n_people=8, per_person=2)
    unknown = np.full(16, -1)
    findings = examine(
        Colours(), 8, Labelled(labelled.sources, np.arange(16) // 2, unknown, unknown)
    )
    assert findings[-1].found.startswith("mAP 100.0")
    scattered = np.tile(np.arange(8), 2)  # labels that the pictures do not follow
    findings = examine(Colours(), 8, Labelled(labelled.sources, scattered, unknown, unknown))
    assert float(findings[-1].found.split()[1]) < 50


def test_features_that_are_all_alike_are_unusable():
    findings = examine(Grey(), 8, _labelled())
    (alike,) = [item for item in findings if item.check.startswith(("median", "values"))][-1:]
    assert alike.verdict == "unusable"
