"""Exported networks: declared input and output, clear errors, a real one on real images."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pose2id.errors import MissingDependencyError, WeightsError
from pose2id.extractors.base import InputSpec
from pose2id.extractors.batching import extract
from pose2id.extractors.registry import load_extractor

SHARED = Path(__file__).parents[4] / "shared"
REID = SHARED / "models/reid/0277/FP16/person-reidentification-retail-0277.xml"
CUHK03 = SHARED / "data/cuhk03-100"
TINY = InputSpec(height_px=16, width_px=8, channel_order="bgr", max_value=255.0)
OTHER_SIZE = replace(TINY, height_px=64, width_px=32)

onnx = pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")
pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")


def _pictures(n):
    rng = np.random.default_rng(n)
    return rng.integers(0, 256, (n, 16, 8, 3), dtype=np.uint8)


def _onnx_file(path, batch="B", shape=(16, 8), outputs=("feature",), external=False):
    """A network that averages each channel and multiplies by a 3x4 matrix."""
    from onnx import TensorProto, helper, numpy_helper

    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)
    kept = helper.make_tensor_value_info("pictures", TensorProto.FLOAT, [batch, 3, *shape])
    shapes = {"feature": [batch, 4], "pooled": [batch, 3], "map": [batch, 3, *shape]}
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["pictures", "axes"], ["pooled"], keepdims=0),
            helper.make_node("MatMul", ["pooled", "matrix"], ["feature"]),
            helper.make_node("Neg", ["pictures"], ["map"]),
        ],
        "tiny",
        [kept],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shapes[n]) for n in outputs],
        [
            numpy_helper.from_array(np.array([2, 3], np.int64), "axes"),
            numpy_helper.from_array(matrix, "matrix"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = {"save_as_external_data": True, "location": "w.bin", "size_threshold": 64}
    onnx.save_model(model, path, **(options if external else {}))
    return path


def test_an_onnx_name_that_is_no_text_is_refused_in_words(tmp_path):
    path = _onnx_file(tmp_path / "net.onnx")
    for name in (b"pictures", b"feature"):
        good = path.read_bytes()
        path.write_bytes(good.replace(name, b"\xff" + name[1:]))
        with pytest.raises(WeightsError, match="is not a readable ONNX network"):
            load_extractor("onnx", model=path, input=TINY)
        path.write_bytes(good)


def _expected(pictures):
    """What the tiny network gives for TINY: BGR means times the matrix."""
    means = pictures[..., ::-1].astype(np.float64).mean(axis=(1, 2))
    return means @ np.arange(12).reshape(3, 4)


@pytest.fixture
def ir_file(tmp_path):
    openvino = pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")

    def convert(**options):
        model = openvino.convert_model(_onnx_file(tmp_path / "source.onnx", **options))
        openvino.save_model(model, tmp_path / "net.xml", compress_to_fp16=False)
        return tmp_path / "net.xml"

    return convert


@pytest.mark.parametrize("batch", ["B", 1, 2])
def test_onnx_network_sees_the_declared_input(tmp_path, batch):
    extractor = load_extractor(
        "onnx", model=_onnx_file(tmp_path / "net.onnx", batch), input=TINY, dim=4
    )
    pictures = _pictures(5)
    assert extractor.dim == 4
    assert extractor.name == "onnx:net"
    assert extractor(pictures).dtype == np.float32
    assert np.allclose(extractor(pictures), _expected(pictures), rtol=1e-5)


def test_openvino_network_sees_the_declared_input(ir_file):
    extractor = load_extractor("openvino", model=ir_file(), input=TINY)
    pictures = _pictures(5)
    assert np.allclose(extractor(pictures), _expected(pictures), rtol=1e-5)
    assert np.array_equal(extractor(pictures[3:4])[0], extractor(pictures)[3])


def test_onnx_output_is_chosen_by_name(tmp_path):
    path = _onnx_file(tmp_path / "net.onnx", outputs=("feature", "pooled", "map"))
    pooled = load_extractor("onnx", model=path, input=TINY, output="pooled")
    assert pooled.dim == 3
    with pytest.raises(WeightsError, match=r"'feature', 'pooled', 'map'.*none was named"):
        load_extractor("onnx", model=path, input=TINY)
    with pytest.raises(WeightsError, match=r"'embedding' was asked for"):
        load_extractor("onnx", model=path, input=TINY, output="embedding")
    with pytest.raises(WeightsError, match=r"\(1, 3, 16, 8\).*pooled feature"):
        load_extractor("onnx", model=path, input=TINY, output="map")


def test_openvino_output_is_chosen_by_name(ir_file):
    path = ir_file(outputs=("feature", "pooled"))
    assert load_extractor("openvino", model=path, input=TINY, output="pooled").dim == 3
    with pytest.raises(WeightsError, match="none was named"):
        load_extractor("openvino", model=path, input=TINY)


def test_wrong_dim_and_wrong_size_name_both_sides(tmp_path, ir_file):
    for name, path in (("onnx", _onnx_file(tmp_path / "net.onnx")), ("openvino", ir_file())):
        with pytest.raises(WeightsError, match=r"4 numbers; features\.dim declares 256"):
            load_extractor(name, model=path, input=TINY, dim=256)
        with pytest.raises(WeightsError, match=r"\(\?, 3, 16, 8\).*\(\?, 3, 64, 32\)"):
            load_extractor(name, model=path, input=OTHER_SIZE)


def test_missing_and_broken_networks_are_weights_errors(tmp_path, ir_file):
    broken = {"onnx": tmp_path / "broken.onnx", "openvino": tmp_path / "broken.xml"}
    for name, path in broken.items():
        with pytest.raises(WeightsError, match="there is no network"):
            load_extractor(name, model=path, input=TINY)
        path.write_bytes(b"neither this nor that")
        path.with_suffix(".bin").write_bytes(b"")
        with pytest.raises(WeightsError, match="not a readable"):
            load_extractor(name, model=path, input=TINY)
        with pytest.raises(WeightsError, match="a file ending in"):
            load_extractor(name, model=tmp_path / "net.pth", input=TINY)
    ir_file().with_suffix(".bin").unlink()
    with pytest.raises(WeightsError, match=r"net\.bin"):
        load_extractor("openvino", model=tmp_path / "net.xml", input=TINY)


def test_external_onnx_weights_count_in_the_fingerprint(tmp_path):
    path = _onnx_file(tmp_path / "net.onnx", external=True)
    weights = tmp_path / "w.bin"
    before = load_extractor("onnx", model=path, input=TINY).fingerprint
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert load_extractor("onnx", model=path, input=TINY).fingerprint != before
    weights.unlink()
    with pytest.raises(WeightsError, match=r"w\.bin"):
        load_extractor("onnx", model=path, input=TINY)


def test_exported_fingerprint_follows_content_input_and_output(tmp_path):
    first = _onnx_file(tmp_path / "a.onnx", outputs=("feature", "pooled"))
    second = _onnx_file(tmp_path / "b.onnx", outputs=("feature", "pooled"))

    def of(path, spec=TINY, output="feature"):
        return load_extractor("onnx", model=path, input=spec, output=output).fingerprint

    assert of(first) == of(second)
    assert of(first, output="pooled") != of(first)
    assert of(first, replace(TINY, channel_order="rgb")) != of(first)


@pytest.mark.parametrize(("name", "module"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_missing_runtime_names_the_extra(tmp_path, monkeypatch, name, module):
    path = _onnx_file(tmp_path / ("net.onnx" if name == "onnx" else "net.xml"))
    path.with_suffix(".bin").write_bytes(b"")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=rf"pose2id\[{name}\]"):
        load_extractor(name, model=path, input=TINY)


@pytest.mark.skipif(
    not (REID.is_file() and CUHK03.is_dir()), reason="the real network is not here (../shared)"
)
def test_real_reid_network_tells_real_persons_apart():
    pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")
    spec = InputSpec(256, 128, channel_order="bgr", max_value=255.0)
    extractor = load_extractor("openvino", model=REID, input=spec, dim=256)
    paths = sorted((CUHK03 / "query").glob("*.jpg"))[:40]  # 20 persons, one picture per camera
    features, failures = extract(extractor, [path.read_bytes for path in paths], batch_size=8)
    assert failures == {}
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    first, second = unit[0::2], unit[1::2]
    found = (first @ second.T).argmax(axis=1) == np.arange(20)
    assert found.mean() > 0.8
