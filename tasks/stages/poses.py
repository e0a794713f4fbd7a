"""Stage `poses`: the table of key points in which every image is re-drawn."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pose2id.errors import DataError, ParamsError
from tasks.stages.base import Job, ShardReport, jobs
from tasks.tables import schema
from tasks.tables.foreign import read_foreign_table
from tasks.tables.params import Params
from tasks.tables.store import read_table, vector_column, vectors, write_table

log = logging.getLogger(__name__)


def plan(params: Params, root: Path, split: str) -> list[Job]:
    """One job: the table has a handful of rows."""
    return jobs("poses", params, root, split, 1)


def run_shard(job: Job) -> ShardReport:
    """Writes `data/poses.parquet`."""
    poses = job.params.poses
    if poses.source == "standard":
        from pose2id.poses.standard import STANDARD_POSES

        available = dict(enumerate(STANDARD_POSES, start=1))
    elif poses.source == "dataset":
        available = _of_dataset(job)
    else:
        available = _from_file(Path(job.root) / str(poses.file))
    unknown = sorted(set(poses.ids) - set(available))
    if unknown or len(set(poses.ids)) != len(poses.ids):
        raise ParamsError(
            f"poses.ids {list(poses.ids)} must be different numbers among {sorted(available)}"
        )
    ids = sorted(poses.ids)
    table = pa.table(
        {
            "pose_id": pa.array(ids, pa.int16()),
            "source": [poses.source] * len(ids),
            "keypoints": vector_column(np.stack([available[i].reshape(-1) for i in ids])),
        },
        schema=schema.POSES,
    )
    write_table(job.layout.poses, table, producer=poses.source)
    return ShardReport(n_rows=len(ids), n_made=len(ids))


def merge(params: Params, root: Path, split: str, reports: list[ShardReport]) -> None:
    """Nothing is left to do: the stage has one shard."""


def read_poses(layout: schema.Layout) -> tuple[list[int], NDArray[np.float32]]:
    """Pose ids and key points `(P, 18, 3) float32`, in id order."""
    table = read_table(layout.poses)
    keypoints = vectors(table, "keypoints").reshape(-1, schema.N_KEYPOINTS, 3)
    return table.column("pose_id").to_pylist(), keypoints


def _of_dataset(job: Job) -> dict[int, NDArray[np.float32]]:
    """The poses that stand best for all those of a split, most frequent first."""
    from pose2id.poses.representative import representative_poses

    poses = job.params.poses
    table = read_table(job.layout.keypoints(poses.split)).sort_by("image_id")
    if not table.num_rows:
        raise DataError(
            f"the split {poses.split} has no key points; run the stage that finds them: "
            f"pose2id stage keypoints {poses.split}"
        )
    keypoints = vectors(table, "keypoints").reshape(-1, schema.N_KEYPOINTS, 3)
    chosen, rows = representative_poses(keypoints, max(poses.ids), poses.seed)
    ids = table.column("image_id").take(pa.array(rows)).to_pylist()
    log.info("poses of %s", ", ".join(ids))
    return dict(enumerate(chosen, start=1))


def _from_file(path: Path) -> dict[int, NDArray[np.float32]]:
    table = read_foreign_table(path, "poses.file")
    if table.schema.names != schema.POSES.names or table.schema.types != schema.POSES.types:
        raise DataError(
            f"{path} must have the columns {schema.POSES.names} of types "
            f"{[str(t) for t in schema.POSES.types]}, got {table.schema.to_string()[:500]}"
        )
    keypoints_column = table.column("keypoints").combine_chunks()
    if any(column.null_count for column in table.columns) or keypoints_column.flatten().null_count:
        raise DataError(f"{path} has empty cells; every pose needs its id, source and key points")
    keypoints = vectors(table, "keypoints").reshape(-1, schema.N_KEYPOINTS, 3)
    ids = table.column("pose_id").to_pylist()
    if not np.isfinite(keypoints).all() or len(set(ids)) != len(ids):
        raise DataError(
            f"{path} must have finite key points and each pose_id once; got {len(ids)} rows with "
            f"{len(set(ids))} ids"
        )
    return dict(zip(ids, keypoints, strict=True))
