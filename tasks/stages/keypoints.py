"""Stage `keypoints`: the key points of real images, for those splits where something asks for them.

Where nothing does, the stage writes empty tables at once and loads no network.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pose2id.errors import QualityError
from pose2id.machine import machine_kind
from tasks.stages.base import LOADING, Job, ShardReport, jobs
from tasks.tables import schema
from tasks.tables.params import Params
from tasks.tables.row_cache import RowCache
from tasks.tables.store import (
    images_of_shard,
    sha256_hex,
    shard_prefix,
    vector_column,
    write_table,
)

if TYPE_CHECKING:
    from PIL import Image

    from pose2id.poses.estimators import BlazePoseEstimator

log = logging.getLogger(__name__)
ROWS_PER_SEGMENT = 256  # images between two writes to the cache

Row = tuple[str, int]  # image id, pose id


def wanted(params: Params, split: str) -> bool:
    """Whether anything uses the key points of a split's images."""
    return params.poses.source == "dataset" and split == params.poses.split


def plan(params: Params, root: Path, split: str) -> list[Job]:
    """One job per shard of images, or a single one to say that nothing is wanted."""
    return jobs("keypoints", params, root, split, params.shards if wanted(params, split) else 1)


def run_shard(job: Job) -> ShardReport:
    """Finds the key points that the cache lacks, then writes the shard's table."""
    part = job.layout.keypoints(job.split) / f"part-{job.shard:04d}.parquet"
    if not wanted(job.params, job.split):
        write_table(part, schema.KEYPOINTS.empty_table(), producer="none")
        return ShardReport(0, notes=("nothing asks for them",))
    from pose2id.poses.estimators import shipped_estimator

    table, n_made = find(job)
    write_table(part, table, producer=shipped_estimator(job.root).fingerprint)
    return ShardReport(table.num_rows, n_made, table.num_rows - n_made)


def find(job: Job) -> tuple[pa.Table, int]:
    """The key points of a shard's images in id order, and how many the cache lacked."""
    from pose2id.datasets.images import decode_rgb, read_indexed
    from pose2id.poses.estimators import shipped_estimator

    with LOADING:
        estimator = shipped_estimator(job.root)
    columns = ["image_id", "path", "sha256"]
    index = images_of_shard(job.layout.index(job.split), job.shard, job.n_shards, columns)
    images = {(row["image_id"], schema.ORIGINAL_POSE_ID): row for row in index.to_pylist()}
    keys = {
        row: sha256_hex(image["sha256"], estimator.fingerprint) for row, image in images.items()
    }
    prefix = shard_prefix(job.shard, job.n_shards)
    cache = RowCache(job.layout.cache / "keypoints", prefix, machine_kind("cpu", "openvino"))
    cached = cache.keys()
    missing = [row for row in sorted(images) if keys[row] not in cached]
    dataset_root = Path(job.root) / job.params.dataset.root
    for start in range(0, len(missing), ROWS_PER_SEGMENT):
        rows = missing[start : start + ROWS_PER_SEGMENT]
        pictures = [
            decode_rgb(read_indexed(dataset_root, images[row]["path"], images[row]["sha256"]))
            for row in rows
        ]
        cache.append(_find(rows, pictures, [keys[row] for row in rows], estimator))
    cache.compact()
    return cache.assemble(keys, schema.KEYPOINTS), len(missing)


def merge(params: Params, root: Path, split: str, reports: list[ShardReport]) -> None:
    """Looks over all shards.

    Raises:
        QualityError: Images without key points, or numbers that are none.
    """
    if not wanted(params, split):
        return
    from tasks.gates.keypoints import keypoints_suite
    from tasks.gates.running import Gates

    layout = schema.Layout(root)
    outcomes = Gates().run(keypoints_suite(layout, split))
    findings = layout.failed_expectations(f"keypoints-{split}")
    table = pa.Table.from_pylist([o.record(split) for o in outcomes], schema=schema.EXPECTATIONS)
    write_table(findings, table, producer="keypoints")
    for outcome in (item for item in outcomes if not item.success):
        told = (
            f"{outcome.check.code}: {outcome.n_unexpected} of {outcome.n_checked} images of "
            f"{split}, for example {', '.join(outcome.labels[:3])}"
        )
        if outcome.check.severity == "fail":
            raise QualityError(
                f"the key points can't be used. {told}. All findings are in {findings}."
            )
        log.warning("keypoints %s: %s", split, told)


def _find(
    rows: list[Row], pictures: list[Image.Image], keys: list[str], estimator: BlazePoseEstimator
) -> pa.Table:
    found = estimator(pictures)  # (n, 18, 3)
    return pa.table(
        {
            "image_id": [image_id for image_id, _ in rows],
            "pose_id": pa.array([pose_id for _, pose_id in rows], pa.int16()),
            "keypoints": vector_column(found.reshape(len(rows), -1)),
            "key": keys,
        },
        schema=schema.KEYPOINTS,
    )
