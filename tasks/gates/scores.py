"""The scores of one shard: every picture decoded and measured, every feature measured.

Decoding is what costs. The last run's scores are kept, and those of unchanged content are taken
over: by the sha256 of the bytes that are there now, never by the key under which they were made.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pose2id.datasets.images import decode_rgb, read_indexed
from pose2id.errors import DataError
from pose2id.quality import (
    cosine_similarity,
    grey_levels,
    pixel_std,
    pose_differences,
    pose_pck,
    row_norms,
    thumbnail,
)
from tasks.stages.base import LOADING, Job
from tasks.stages.poses import read_poses
from tasks.tables import schema
from tasks.tables.aside import read_kept
from tasks.tables.store import images_of_shard, read_table, sha256_hex, vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from pose2id.poses.estimators import BlazePoseEstimator

DECODE_THREADS = 4
VERSION = "1"  # of the pixel scores; another one makes kept scores stale

Key = tuple[str, int]  # image id, pose id


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to measure: its pose, the key of its scores and how to get its bytes."""

    pose_id: int
    key: str
    load: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class PoseCheck:
    """Looks whether drawings show the poses asked for.

    Attributes:
        estimator: Finds the key points of a picture.
        asked: Pose id -> `(18, 3) float32`.
    """

    estimator: BlazePoseEstimator
    asked: dict[int, NDArray[np.float32]]

    @property
    def key(self) -> str:
        """What its scores depend on beside the picture."""
        poses = b"".join(self.asked[pose_id].tobytes() for pose_id in sorted(self.asked))
        return sha256_hex(self.estimator.fingerprint, *sorted(self.asked), poses)

    def score(self, picture: Image, pose_id: int) -> float | None:
        """PCK of a drawing; None where its pose is not known or has no key points."""
        if pose_id not in self.asked:
            return None
        found = self.estimator([picture])
        share = float(pose_pck(found, self.asked[pose_id][None], *picture.size)[0])
        return None if np.isnan(share) else share


def score_shard(job: Job) -> tuple[pa.Table, int]:
    """Measures the pictures and features of one shard.

    Returns:
        The scores, columns of `schema.SCORES`, one row per original and generated picture in key
        order; and how many rows were taken over from the last run.
    """
    kept, check = _kept_scores(job), _pose_check(job)
    groups = _originals(job) + _generated(job, check)
    with ThreadPoolExecutor(DECODE_THREADS) as pool:
        rows = list(
            itertools.chain(
                *pool.map(lambda group: _pixel_scores(group[0], group[1], kept, check), groups)
            )
        )
    # Of two rows with one key, which is a fault that the suites find, one is measured.
    pixels = {(row["image_id"], row["pose_id"]): row for row in rows}
    features = _feature_scores(job)
    if job.params.generate.generator == "none":  # drawings whose features alone were given
        pixels |= {
            (image_id, pose_id): {"image_id": image_id, "pose_id": pose_id, "key": ""}
            for image_id, pose_id in features.keys() - pixels.keys()
        }
    ordered = [{**pixels[key], **features.get(key, {})} for key in sorted(pixels)]
    n_kept = sum(row["key"] in kept for row in ordered)
    return pa.Table.from_pylist(ordered, schema=schema.SCORES), n_kept


def _kept_scores(job: Job) -> dict[str, dict[str, Any]]:
    path = job.layout.scores(job.split, job.shard)
    columns = ["key", "decoded_size", "pixel_std", "pose_difference", "pose_pck"]
    table = read_kept(path, job.layout.cache, columns)
    rows = [] if table is None else table.to_pylist()
    # What could not be read may be readable by now: an image that was replaced and put back.
    return {row["key"]: row for row in rows if row["decoded_size"] is not None}


def _pose_check(job: Job) -> PoseCheck | None:
    """None where nobody wants to know."""
    if job.params.validate_.min_pose_pck is None:
        return None
    with LOADING:
        from pose2id.poses.estimators import shipped_estimator

        estimator = shipped_estimator(job.root)
    return PoseCheck(estimator, dict(zip(*read_poses(job.layout), strict=True)))


def _originals(job: Job) -> list[tuple[str, list[Picture]]]:
    dataset_root = Path(job.root) / job.params.dataset.root
    columns = ["image_id", "path", "sha256"]
    index = images_of_shard(job.layout.index(job.split), job.shard, job.n_shards, columns)
    return [
        (image_id, [Picture(schema.ORIGINAL_POSE_ID, sha256_hex(VERSION, digest), load)])
        for image_id, path, digest in zip(*_columns(index, *columns), strict=True)
        for load in [functools.partial(read_indexed, dataset_root, path, digest)]
    ]


def _generated(job: Job, check: PoseCheck | None) -> list[tuple[str, list[Picture]]]:
    """The pictures of each image in pose order; a key stands for a picture and all before it."""
    part = job.layout.generated(job.split) / f"part-{job.shard:04d}.parquet"
    table = read_table(part, ["image_id", "pose_id", "image"])
    images = table.column("image")
    start = sha256_hex(VERSION, check.key) if check else VERSION
    rows: dict[str, list[tuple[int, int]]] = {}
    for row, (image_id, pose_id) in enumerate(
        zip(*_columns(table, "image_id", "pose_id"), strict=True)
    ):
        rows.setdefault(image_id, []).append((pose_id, row))
    groups = []
    for image_id, poses in rows.items():
        chain, pictures = start, []
        for pose_id, row in sorted(poses):
            digest = hashlib.sha256(memoryview(images[row].as_buffer())).hexdigest()
            chain = sha256_hex(chain, "picture", digest)
            pictures.append(Picture(pose_id, chain, images[row].as_py))
        groups.append((image_id, pictures))
    return groups


def _pixel_scores(
    image_id: str,
    pictures: list[Picture],
    kept: dict[str, dict[str, Any]],
    check: PoseCheck | None,
) -> list[dict[str, Any]]:
    """Scores of the pictures of one image; all are decoded if one is new."""
    keys = [{"image_id": image_id, "pose_id": item.pose_id, "key": item.key} for item in pictures]
    if all(item.key in kept for item in pictures):
        return [{**kept[item.key], **key} for item, key in zip(pictures, keys, strict=True)]
    rows: list[dict[str, Any]] = []
    thumbnails = []
    for item, key in zip(pictures, keys, strict=True):
        try:
            picture = decode_rgb(item.load())
        except DataError:
            rows.append({**key, "decoded_size": None, "pixel_std": None})
            continue
        size = f"{picture.width}x{picture.height}"
        rows.append({**key, "decoded_size": size, "pixel_std": pixel_std(grey_levels(picture))})
        thumbnails.append(thumbnail(picture))
        if check and item.pose_id != schema.ORIGINAL_POSE_ID:
            rows[-1]["pose_pck"] = check.score(picture, item.pose_id)
    if len(thumbnails) > 1:
        decoded = [row for row in rows if row["decoded_size"] is not None]
        for row, value in zip(decoded, pose_differences(np.stack(thumbnails)), strict=True):
            row["pose_difference"] = None if np.isnan(value) else float(value)
    return rows


def _feature_scores(job: Job) -> dict[Key, dict[str, Any]]:
    """Norm, number of values that are not finite, and similarity to the original's feature."""
    part = job.layout.features(job.split) / f"part-{job.shard:04d}.parquet"
    table = read_table(part, ["image_id", "pose_id", "feature"])
    image_ids, pose_ids = _columns(table, "image_id", "pose_id")
    rows = vectors(table)  # (N, D)
    finite = np.isfinite(rows)
    n_not_finite = (~finite).sum(axis=1)
    norms = row_norms(rows)
    original = {
        image_id: row
        for row, (image_id, pose_id) in enumerate(zip(image_ids, pose_ids, strict=True))
        if pose_id == schema.ORIGINAL_POSE_ID
    }
    pairs = np.array([original.get(image_id, -1) for image_id in image_ids], np.int64)
    similarity = cosine_similarity(rows, rows[pairs])
    return {
        (image_id, pose_id): {
            "feature_norm": None if n_not_finite[row] else float(norms[row]),
            "n_not_finite": int(n_not_finite[row]),
            "identity_similarity": None
            if pose_id == schema.ORIGINAL_POSE_ID or pairs[row] < 0 or np.isnan(similarity[row])
            else float(similarity[row]),
        }
        for row, (image_id, pose_id) in enumerate(zip(image_ids, pose_ids, strict=True))
    }


def _columns(table: pa.Table, *names: str) -> list[list[Any]]:
    return [table.column(name).to_pylist() for name in names]
