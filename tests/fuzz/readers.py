"""Every reader of something that a person hands in: a valid example, its mutations, how it is read.

`KINDS` maps a kind's name to its maker: given a scratch folder it returns the mutations and a
function that reads one.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import strategies as st
from PIL import Image

from tests.fuzz.mutations import ODD_VALUES, mutated_bytes, mutated_text, mutated_tree

ROOT = Path(__file__).resolve().parents[2]
Kind = tuple[st.SearchStrategy[Any], Callable[[Any], object]]


def params_text(folder: Path) -> Kind:
    """`params.yaml` as a person edits it."""
    from tasks.tables.params import load_params

    path = folder / "params.yaml"
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    return mutated_text(text), lambda data: (path.write_bytes(data), load_params(path))


def params_values(folder: Path) -> Kind:
    """The values of `params.yaml`, whole or one of them replaced."""
    from tasks.tables.params import parse_params

    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    raw["features"]["input"] = {"height_px": 8, "width_px": 8, "std": [1.0, 1.0, 1.0]}
    return mutated_tree(raw), parse_params


def manifest(folder: Path) -> Kind:
    """A table of pictures."""
    from pose2id.datasets.registry import make_reader

    Image.new("RGB", (8, 16)).save(folder / "a.png")
    Image.new("RGB", (8, 16)).save(folder / "b.png")
    text = (
        "path,pid,camid,modality,clothes_id,distractor\n"
        "a.png,1,0,visible,2,0\nb.png,,1,infrared,,1\n"
    )
    path = folder / "query.csv"
    reader = make_reader("manifest")
    return mutated_text(text), lambda d: (path.write_bytes(d), reader.read_split(folder, "query"))


def corrections(folder: Path) -> Kind:
    """What someone has decided about labels."""
    from tasks.tables.corrections import read_corrections

    path = folder / "corrections.csv"
    text = "image_id,action,pid,note\nquery/a,relabel,3,was 2\ngallery/b,drop,,\n"
    splits = ("query", "gallery")
    return mutated_text(text), lambda d: (path.write_bytes(d), read_corrections(path, splits))


def poses_bytes(folder: Path) -> Kind:
    """A file of poses, damaged."""
    path, table = folder / "poses.parquet", poses_table()
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return mutated_bytes(buffer.getvalue()), lambda d: (path.write_bytes(d), _read_poses(path))


def poses_schema(folder: Path) -> Kind:
    """A whole Parquet file that is no table of poses, or has odd values."""
    path, table = folder / "poses.parquet", poses_table()
    columns = {name: table.column(name).to_pylist() for name in table.schema.names}

    def read(changed: dict[str, Any]) -> object:
        try:
            odd = pa.table(changed)
            odd = odd.cast(table.schema) if odd.schema.names == table.schema.names else odd
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            return None  # no Parquet file can hold that
        pq.write_table(odd, path)
        return _read_poses(path)

    return mutated_tree(columns), read


def poses_table() -> pa.Table:
    from tasks.tables import schema

    points = np.random.default_rng(0).random((3, 54), np.float32)
    rows = [
        {"pose_id": n + 1, "source": "mine", "keypoints": p.tolist()} for n, p in enumerate(points)
    ]
    return pa.Table.from_pylist(rows, schema=schema.POSES)


def _read_poses(path: Path) -> object:
    from tasks.stages.poses import _from_file

    return _from_file(path)


def keypoints(folder: Path) -> Kind:
    """Key points in another format."""
    from pose2id.poses.formats import FORMATS, to_openpose18

    right = st.sampled_from([[17, 3], [18, 3], [25, 3], [33, 3], [2, 17, 3], [0, 18, 3]])
    wrong = st.lists(st.sampled_from([0, 1, 2, 3, 17, 18, 25, 33]), max_size=4)
    shapes = st.one_of(right, right, wrong)
    numbers = st.sampled_from([0.5, float("nan"), float("inf"), -1e300])
    sources = st.sampled_from([*FORMATS, "coco", "", "\x00"])
    return (
        st.tuples(shapes, numbers, sources),
        lambda drawn: to_openpose18(np.full(drawn[0], drawn[1]), drawn[2]),
    )


def model_config(folder: Path) -> Kind:
    """A generator's `config.json`, one value replaced."""
    from pose2id.generation.checkpoints import load_part

    path, _ = _tiny_model(folder)
    content = json.loads(path.read_text(encoding="utf-8"))

    def read(changed: dict[str, Any]) -> object:
        path.write_text(json.dumps(changed), encoding="utf-8")
        return load_part(folder, "guider")

    return mutated_tree(content), read


def model_config_text(folder: Path) -> Kind:
    """A generator's `config.json`, damaged."""
    from pose2id.generation.checkpoints import load_part

    path, _ = _tiny_model(folder)
    text = path.read_text(encoding="utf-8")
    return mutated_text(text), lambda d: (path.write_bytes(d), load_part(folder, "guider"))


def safetensors(folder: Path) -> Kind:
    """A file of weights, damaged; its header is its first part."""
    from pose2id.generation.checkpoints import load_part

    _, path = _tiny_model(folder)
    data = path.read_bytes()
    size = 8 + int.from_bytes(data[:8], "little")
    header = mutated_bytes(data[:size]).map(lambda head: head + data[size:])
    names = mutated_tree(json.loads(data[8:size])).map(lambda tree: _with_header(tree, data[size:]))
    return (
        st.one_of(header, names, mutated_bytes(data)),
        lambda d: (path.write_bytes(d), load_part(folder, "guider")),
    )


def _with_header(tree: dict[str, Any], rest: bytes) -> bytes:
    head = json.dumps(tree).encode()
    return len(head).to_bytes(8, "little") + head + rest


def published_pickle(folder: Path) -> Kind:
    """A published file of weights, damaged."""
    import torch

    from pose2id.generation.official import _read_pickle

    path = folder / "IFR.pth"
    torch.save({"weight": torch.arange(6.0)}, path)
    return mutated_bytes(path.read_bytes()), lambda d: (path.write_bytes(d), _read_pickle(path))


def _tiny_model(folder: Path) -> tuple[Path, Path]:
    from pose2id.generation.checkpoints import save_model
    from tests.tiny import make_tiny_model

    if not (folder / "config.json").exists():
        save_model(make_tiny_model(), folder)
    return folder / "config.json", folder / "guider.safetensors"


def _image(file_format: str, mode: str, **options: object) -> Callable[[Path], Kind]:
    def make(folder: Path) -> Kind:
        from pose2id.datasets.images import inspect_image

        pixels = np.random.default_rng(1).integers(0, 256, (32, 16, 3), np.uint8)
        buffer, path = io.BytesIO(), folder / "picture"
        Image.fromarray(pixels).convert(mode).save(buffer, file_format, **options)
        return mutated_bytes(buffer.getvalue()), lambda d: (
            path.write_bytes(d),
            inspect_image(path),
        )

    return make


def onnx(folder: Path) -> Kind:
    """A network exported to ONNX, damaged."""
    from pose2id.extractors.base import InputSpec
    from pose2id.extractors.onnx import OnnxExtractor
    from tests.pose2id.extractors.test_extractors_exported import _onnx_file

    path = folder / "net.onnx"
    data = _onnx_file(path).read_bytes()
    spec = InputSpec(height_px=16, width_px=8)
    return mutated_bytes(data), lambda d: (path.write_bytes(d), OnnxExtractor(path, spec))


def openvino(folder: Path) -> Kind:
    """A network exported to OpenVINO, damaged in its description."""
    import openvino as ov

    from pose2id.extractors.base import InputSpec
    from pose2id.extractors.openvino import OpenVinoExtractor
    from tests.pose2id.extractors.test_extractors_exported import _onnx_file

    model = ov.Core().read_model(_onnx_file(folder / "net.onnx"))
    path = folder / "net.xml"
    ov.save_model(model, path, compress_to_fp16=False)
    text = path.read_text(encoding="utf-8")
    spec = InputSpec(height_px=16, width_px=8)
    return mutated_text(text), lambda d: (path.write_bytes(d), OpenVinoExtractor(path, spec))


def search_form(folder: Path) -> Kind:
    """What a browser sends to the search page."""
    from tasks.search.serving import read_form

    body = (
        b'--x\r\nContent-Disposition: form-data; name="k"\r\n\r\n5\r\n'
        b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\n'
        b"Content-Type: image/png\r\n\r\n\x89PNG\r\n--x--\r\n"
    )
    return mutated_bytes(body), lambda d: read_form("multipart/form-data; boundary=x", d, 10)


def export_manifest(folder: Path) -> Kind:
    """The list of files in an export's folder."""
    from tasks.exporting.target import _files_of_export

    facts = {"format": "npy", "counts": {"query": 3}, "files": ["query.npy", "export.json"]}
    path = folder / "export.json"
    return (
        st.one_of(
            mutated_tree(facts).map(json.dumps), st.sampled_from([str(v) for v in ODD_VALUES])
        ),
        lambda text: (path.write_text(text, "utf-8", "replace"), _files_of_export(folder)),
    )


def question(folder: Path) -> Kind:
    """SQL that someone asks."""
    import duckdb

    from pose2id.errors import DataError
    from tasks.tables.questions import open_for_questions, reading_statement
    from tasks.tables.schema import Layout
    from tests.tasks.factory import Spec, write_project

    write_project(folder, Spec(identities=2, poses=1))
    stack = open_for_questions(Layout(folder), ("query", "gallery"))
    connection = stack.__enter__()
    sql = "WITH x AS (SELECT pid, 'a' AS t FROM \"index\")\nSELECT * FROM x -- all\nORDER BY 1"

    def read(data: bytes) -> object:
        assert stack is not None  # kept alive with the connection
        try:
            statement = reading_statement(connection, data.decode("utf-8", "replace"))
            return connection.execute(statement).fetchmany(10)
        except duckdb.Error as error:  # shown by the command as one message
            raise DataError(str(error)) from error

    return mutated_text(sql), read


KINDS: dict[str, Callable[[Path], Kind]] = {
    "params.yaml": params_text,
    "values of params.yaml": params_values,
    "manifest": manifest,
    "corrections": corrections,
    "poses file": poses_bytes,
    "poses of another schema": poses_schema,
    "key points": keypoints,
    "generator's config.json": model_config,
    "generator's config.json as text": model_config_text,
    "safetensors": safetensors,
    "published weights": published_pickle,
    "ONNX": onnx,
    "OpenVINO": openvino,
    "PNG": _image("PNG", "RGBA"),
    "JPEG": _image("JPEG", "RGB"),
    "WebP": _image("WEBP", "RGB"),
    "TIFF": _image("TIFF", "L"),
    "BMP": _image("BMP", "P"),
    "search form": search_form,
    "export.json": export_manifest,
    "question": question,
}
NEEDS = {"ONNX": "onnxruntime", "OpenVINO": "openvino"}
