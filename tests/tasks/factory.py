"""A whole project of small, consistent tables, written in a moment, for tests of what reads them.

The pictures are coloured boards, the features are noisy identity centres; rankings, APs and
summaries are really computed from the features, so that the tables agree with each other.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tasks.stages import audit
from tasks.tables import schema
from tasks.tables.params import Params, parse_params
from tasks.tables.schema import Layout
from tasks.tables.store import shard_of, vector_column, write_table
from tests.tasks.factory_results import Side, write_results

VARIANTS = ("base", "ipg", "nfc", "ipg_nfc")
TOP_K = 50
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Spec:
    """How large the project is and what its dataset lacks."""

    identities: int = 6
    cameras: int = 3
    queries_per_identity: int = 1
    gallery_per_identity: int = 4
    distractors: int = 3
    poses: int = 8
    dim: int = 16
    noise: float = 1.2
    labels: bool = True
    has_cameras: bool = True
    hostile_names: bool = False
    width_px: int = 32
    grain: bool = False  # noise over the pictures gives their files a real photograph's size


@dataclass(frozen=True)
class Split:
    """The images of one split in id order, with their true person and camera."""

    name: str
    ids: list[str]
    paths: list[str]
    pids: NDArray[np.int64]
    cams: NDArray[np.int64]


def params_of(spec: Spec = Spec(), **overrides: object) -> Params:
    """Parameters under which the written project makes sense."""
    raw: dict[str, object] = {
        "splits": ["query", "gallery"],
        "shards": 2,
        "dataset": {
            "name": "tiny",
            "reader": "market1501",
            "root": "data/raw/tiny",
            "licence": "CC0-1.0",
            "status": "open",
        },
        "poses": {"ids": list(range(1, spec.poses + 1))},
        "centralize": {"fuse": {"eta": 8.0}, "nfc": {"k1": 2, "k2": 2}},
        "tune": {"split": "gallery"},
        "score": {"top_k": TOP_K},
        "variants": {"base": [], "ipg": ["fuse"], "nfc": ["nfc"], "ipg_nfc": ["fuse", "nfc"]},
        "report": {"identities": 6, "ranked_queries": 4, "map_points": 200},
    }
    return parse_params({**raw, **overrides})


def write_project(root: Path, spec: Spec = Spec(), **overrides: object) -> Params:
    """Writes images and every table of a finished run below `root`; returns the parameters."""
    params = params_of(spec, **overrides)
    layout = Layout(root)
    layout.data.mkdir(parents=True, exist_ok=True)
    shutil.copy(REPOSITORY / "data/views.sql", layout.data)
    rng = np.random.default_rng(7)
    centres = rng.normal(size=(spec.identities + 1, spec.dim)).astype(np.float32)
    drawings = [_drawing(number, spec) for number in range(min(64, 8 * spec.identities))]
    splits = [_query(spec), _gallery(spec)]
    _write_poses(layout, spec, rng)
    write_table(layout.choice, schema.CHOICE.empty_table(), producer="t" * 64)
    variants: dict[str, dict[str, NDArray[np.float32]]] = {name: {} for name in VARIANTS}
    for split in splits:
        _write_index(layout, split, spec, params, drawings)
        _write_keypoints(layout, split, params)
        accepted = _write_quality(layout, split, spec, rng)
        _write_expectations(layout, split, accepted)
        _write_generated(layout, split, spec, params, drawings)
        original, mean_picture = _write_features(
            layout, split, spec, params, centres, accepted, rng
        )
        toward = centres[split.pids]
        for name, rows in {
            "base": original,
            "ipg": original + mean_picture,
            "nfc": original + 0.3 * toward,
            "ipg_nfc": original + mean_picture + 0.6 * toward,
        }.items():
            unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
            variants[name][split.name] = unit
            columns = {"variant": [name] * len(unit), "image_id": split.ids}
            table = pa.table(
                {**columns, "feature": vector_column(unit)}, schema=schema.centralized(spec.dim)
            )
            path = layout.centralized(split.name) / f"{name}.parquet"
            write_table(path, table, producer="c" * 64)
    query, gallery = (
        Side(split.ids, split.pids, split.cams if spec.has_cameras else None) for split in splits
    )
    features = {name: (rows["query"], rows["gallery"]) for name, rows in variants.items()}
    write_results(layout, query, gallery, features, labels=spec.labels, top_k=TOP_K)
    for job in audit.plan(params, root, ""):
        audit.run_shard(job)
    return params


def _query(spec: Spec) -> Split:
    per = spec.queries_per_identity
    pids = [pid for pid in range(1, spec.identities + 1) for _ in range(per)]
    return _split("query", pids, [i % per % spec.cameras for i in range(len(pids))], spec)


def _gallery(spec: Spec) -> Split:
    per = spec.gallery_per_identity
    pids = [pid for pid in range(1, spec.identities + 1) for _ in range(per)]
    pids += [0] * spec.distractors
    return _split("gallery", pids, [i % per % spec.cameras for i in range(len(pids))], spec)


def _split(name: str, pids: list[int], cams: list[int], spec: Spec) -> Split:
    stems = [
        f"{p:05d}_c{c + 1}s1_{i:06d}_00" for i, (p, c) in enumerate(zip(pids, cams, strict=True))
    ]
    if spec.hostile_names:
        stems = [f"{stem}'\"><img src=x onerror=alert(1)>&{{{{7*7}}}}" for stem in stems]
    folder = {"query": "query", "gallery": "bounding_box_test"}[name]
    order = sorted(range(len(stems)), key=stems.__getitem__)
    return Split(
        name,
        [f"{name}/{stems[i]}" for i in order],
        [f"{folder}/{stems[i]}.png" for i in order],
        np.array(pids)[order],
        np.array(cams)[order],
    )


def _drawing(number: int, spec: Spec) -> bytes:
    """A figure whose colours tell its number, as PNG."""
    hue = hashlib.sha256(str(number).encode()).digest()
    picture = Image.new("RGB", (32, 64), (226, 224, 218))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((11, 4, 21, 16), fill=(hue[0], hue[1] // 2 + 60, hue[2] // 2 + 40))
    draw.rectangle((8, 17, 24, 38), fill=(hue[3], hue[4], hue[5]))
    draw.rectangle((10, 39, 22, 61), fill=(hue[6] // 2, hue[7] // 2, hue[8] // 2))
    picture = picture.resize((spec.width_px, 2 * spec.width_px))
    if spec.grain:
        shape = (2 * spec.width_px, spec.width_px, 3)
        noise = np.random.default_rng(number).normal(0, 4, shape)
        picture = Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _write_keypoints(layout: Layout, split: Split, params: Params) -> None:
    """Empty tables, as where nothing asks for key points."""
    for shard in range(params.shards):
        part = layout.keypoints(split.name) / f"part-{shard:04d}.parquet"
        write_table(part, schema.KEYPOINTS.empty_table(), producer="none")


def _write_poses(layout: Layout, spec: Spec, rng: np.random.Generator) -> None:
    keypoints = rng.uniform(size=(spec.poses, schema.N_KEYPOINTS * 3)).astype(np.float32)
    columns = {
        "pose_id": pa.array(range(1, spec.poses + 1), pa.int16()),
        "source": ["standard"] * spec.poses,
        "keypoints": vector_column(keypoints),
    }
    write_table(layout.poses, pa.table(columns, schema=schema.POSES), producer="standard")


def _write_index(
    layout: Layout, split: Split, spec: Spec, params: Params, drawings: list[bytes]
) -> None:
    rows = []
    columns = zip(split.ids, split.paths, split.pids, split.cams, strict=True)
    for image_id, path, pid, cam in columns:
        data = drawings[int(pid) % len(drawings)]
        target = layout.root / params.dataset.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        rows.append(
            {
                "image_id": image_id,
                "path": path,
                "split": split.name,
                "pid": int(pid) if spec.labels else None,
                "camid": int(cam) if spec.has_cameras else None,
                "modality": "visible",
                "clothes_id": None,
                "distractor": bool(pid == 0),
                "tracklet_id": None,
                "group": None,
                "width_px": spec.width_px,
                "height_px": 2 * spec.width_px,
                "sha256": hashlib.sha256(data).hexdigest(),
                "n_bytes": len(data),
            }
        )
    table = pa.Table.from_pylist(rows, schema=schema.INDEX)
    write_table(layout.index(split.name), table, producer="index")
    rejects = [
        {
            "path": f"query/broken{end}.jpg",
            "split": "query",
            "kind": "unusable",
            "reason": "cannot be decoded",
        }
        for end in ("", "<b>")
    ]
    table = pa.Table.from_pylist(rejects if split.name == "query" else [], schema=schema.REJECTS)
    write_table(layout.rejects(split.name), table, producer="index")


def _write_quality(
    layout: Layout, split: Split, spec: Spec, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Writes the verdicts; returns which pictures are accepted, `(N, P) bool`."""
    shape = (len(split.ids), spec.poses)
    similarity = rng.beta(6, 2, size=shape).astype(np.float32)
    accepted = similarity > np.quantile(similarity, 0.04)
    rows = []
    for i, image_id in enumerate(split.ids):
        original = {"pose_difference": None, "identity_similarity": None}
        rows.append(_quality_row(image_id, schema.ORIGINAL_POSE_ID, True) | original)
        rows += [
            _quality_row(image_id, pose + 1, bool(accepted[i, pose]))
            | {"identity_similarity": float(similarity[i, pose])}
            for pose in range(spec.poses)
        ]
    table = pa.Table.from_pylist(rows, schema=schema.QUALITY)
    write_table(layout.quality(split.name), table, producer="q" * 64)
    return accepted


def _quality_row(image_id: str, pose_id: int, accepted: bool) -> dict[str, object]:
    return {
        "image_id": image_id,
        "pose_id": pose_id,
        "pixel_std": 40.0,
        "pose_difference": 30.0,
        "feature_norm": 4.0,
        "accepted": accepted,
        "reasons": [] if accepted else ["identity_lost"],
    }


def _write_expectations(layout: Layout, split: Split, accepted: NDArray[np.bool_]) -> None:
    n_bad = int((~accepted).sum())
    rows = [
        {
            "suite": suite,
            "split": split.name,
            "expectation": expectation,
            "column": column,
            "code": code,
            "severity": severity,
            "success": True,
            "n_checked": accepted.size,
            "n_unexpected": n_unexpected,
            "detail": detail,
        }
        for suite, expectation, column, code, severity, n_unexpected, detail in (
            ("index", "ExpectColumnValuesToBeUnique", "image_id", "duplicate_id", "fail", 0, "{}"),
            (
                *("generated", "ExpectColumnValuesToBeBetween", "identity_similarity"),
                *("identity_lost", "quarantine", n_bad, "{}"),
            ),
        )
    ]
    table = pa.Table.from_pylist(rows, schema=schema.EXPECTATIONS)
    write_table(layout.expectations(split.name), table, producer="q" * 64)


def _write_generated(
    layout: Layout, split: Split, spec: Spec, params: Params, drawings: list[bytes]
) -> None:
    for shard in range(params.shards):
        mine = [i for i, name in enumerate(split.ids) if shard_of(name, params.shards) == shard]
        rows = [
            {
                "image_id": split.ids[i],
                "pose_id": pose,
                "image": drawings[int(split.pids[i] + pose) % len(drawings)],
                "format": "png",
                "width_px": spec.width_px,
                "height_px": 2 * spec.width_px,
                "seed": pose,
                "key": f"{split.ids[i]}/{pose}",
            }
            for i in mine
            for pose in range(1, spec.poses + 1)
        ]
        table = pa.Table.from_pylist(rows, schema=schema.GENERATED)
        part = layout.generated(split.name) / f"part-{shard:04d}.parquet"
        write_table(part, table, producer="a" * 64)


def _write_features(
    layout: Layout,
    split: Split,
    spec: Spec,
    params: Params,
    centres: NDArray[np.float32],
    accepted: NDArray[np.bool_],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Writes raw features; returns originals and the mean of accepted pictures, both `(N, D)`."""
    n, poses = len(split.ids), list(range(1, spec.poses + 1))
    scattered = rng.normal(scale=spec.noise, size=(n, 1 + spec.poses, spec.dim)).astype(np.float32)
    features = centres[split.pids][:, None] + scattered  # (N, 1 + P, D)
    for shard in range(params.shards):
        mine = [i for i, name in enumerate(split.ids) if shard_of(name, params.shards) == shard]
        ids = [split.ids[i] for i in mine for _ in range(1 + spec.poses)]
        pose_ids = [schema.ORIGINAL_POSE_ID, *poses] * len(mine)
        columns = {
            "image_id": ids,
            "pose_id": pa.array(pose_ids, pa.int16()),
            "feature": vector_column(features[mine].reshape(-1, spec.dim)),
            "key": [f"{image_id}/{pose}" for image_id, pose in zip(ids, pose_ids, strict=True)],
        }
        part = layout.features(split.name) / f"part-{shard:04d}.parquet"
        write_table(part, pa.table(columns, schema=schema.features(spec.dim)), producer="f" * 64)
    weights = accepted / np.maximum(accepted.sum(axis=1, keepdims=True), 1)
    mean = np.einsum("npd,np->nd", features[:, 1:], weights.astype(np.float32))
    return features[:, 0], mean
