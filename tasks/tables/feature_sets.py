"""The features that passed the quality gates, as the sets that chains begin with."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pose2id.choices import Tracklets
from pose2id.errors import DataError
from pose2id.steps.base import UNKNOWN_CAMERA, FeatureSet
from pose2id.tracklets import pool_tracklets
from tasks.tables import schema
from tasks.tables.seal import table_schema
from tasks.tables.store import read_table, read_vectors


def accepted_images(layout: schema.Layout, split: str) -> list[str]:
    """Ids of the images of a split whose original passed the quality gates, sorted.

    Raises:
        DataError: No image of the split was accepted.
    """
    quality = read_table(layout.quality(split), ["image_id", "pose_id", "accepted"])
    originals = quality.filter(pc.field("accepted") & _is_original(quality))
    if not originals.num_rows:
        raise DataError(f"no image of split {split!r} passed the quality gates; see data/quality")
    return sorted(originals.column("image_id").to_pylist())


def load_feature_set(
    layout: schema.Layout, split: str, tracklets: Tracklets = "none"
) -> tuple[list[str], FeatureSet]:
    """The accepted features of a split.

    Args:
        layout: Where the tables are.
        split: Name of the split.
        tracklets: `mean`: the images of a track are one row, under the id of the first of them.

    Returns:
        N image ids, sorted, and their raw features with cameras and drawings: `(N, M, D)`, zeros
        and weight 0 where there is no accepted drawing.

    Raises:
        DataError: No image of the split was accepted.
    """
    image_ids = accepted_images(layout, split)
    folder = layout.features(split)
    table = read_table(folder, ["image_id", "pose_id"])
    rows, poses = _rows_of(table, image_ids), _poses(table)
    dim = table_schema(next(folder.glob("[!.]*.parquet"))).field("feature").type.list_size
    pose_ids = np.unique(poses[poses != schema.ORIGINAL_POSE_ID])
    weights = _drawing_weights(layout, split, image_ids, pose_ids)
    original = np.zeros((len(image_ids), dim), np.float32)
    drawings = np.zeros((*weights.shape, dim), np.float32)
    start = 0
    for part in sorted(folder.glob("[!.]*.parquet")):  # as `read_table` joins them
        features = read_vectors(part)
        its_rows, its_poses = (all_[start : start + len(features)] for all_ in (rows, poses))
        own = (its_poses == schema.ORIGINAL_POSE_ID) & (its_rows >= 0)
        original[its_rows[own]] = features[own]
        drawn = np.flatnonzero((its_poses != schema.ORIGINAL_POSE_ID) & (its_rows >= 0))
        slots = np.searchsorted(pose_ids, its_poses[drawn])
        drawn, slots = (kept[weights[its_rows[drawn], slots] > 0] for kept in (drawn, slots))
        drawings[its_rows[drawn], slots] = features[drawn]
        start += len(features)
    cameras = _cameras(layout, split, image_ids)
    second = _second(layout, split, image_ids)
    images = FeatureSet(original, cameras, drawings, weights, second=second)
    if tracklets == "none":
        return image_ids, images
    first, tracks = pool_tracklets(images, _tracks(layout, split, image_ids))
    return [image_ids[row] for row in first], tracks


def _second(layout: schema.Layout, split: str, image_ids: list[str]) -> NDArray[np.float32] | None:
    """`(N, E)`: the second network's features, if there is one."""
    folder = layout.second_features(split)
    if not folder.is_dir():
        return None
    rows = pc.index_in(pa.array(image_ids), value_set=read_table(folder, ["image_id"])["image_id"])
    if rows.null_count:
        raise DataError(
            f"{rows.null_count} images of {split!r} have no feature of the second network; run the "
            "pipeline again: dvc repro"
        )
    parts = sorted(folder.glob("[!.]*.parquet"))
    found: NDArray[np.float32] = np.concatenate([read_vectors(part) for part in parts])
    return found[np.asarray(rows, np.int64)]


def _is_original(table: pa.Table) -> pc.Expression:
    return pc.field("pose_id") == schema.ORIGINAL_POSE_ID


def _rows_of(table: pa.Table, image_ids: list[str]) -> NDArray[np.int64]:
    """Which image each row of a table is of, -1 for none of these."""
    found = pc.index_in(table.column("image_id"), value_set=pa.array(image_ids))
    return np.asarray(pc.fill_null(found, -1), np.int64)


def _poses(table: pa.Table) -> NDArray[np.int64]:
    return np.asarray(table.column("pose_id"), np.int64)


def _drawing_weights(
    layout: schema.Layout, split: str, image_ids: list[str], pose_ids: NDArray[np.int64]
) -> NDArray[np.float32]:
    """`(N, M)`: 1 where a drawing was accepted, else 0."""
    weights = np.zeros((len(image_ids), len(pose_ids)), np.float32)
    quality = read_table(layout.quality(split), ["image_id", "pose_id", "accepted"])
    accepted = quality.filter(pc.field("accepted") & ~_is_original(quality))
    rows, poses = _rows_of(accepted, image_ids), _poses(accepted)
    known = (rows >= 0) & np.isin(poses, pose_ids)
    weights[rows[known], np.searchsorted(pose_ids, poses[known])] = 1
    return weights


def _tracks(layout: schema.Layout, split: str, image_ids: list[str]) -> list[object]:
    """Which track each image is of: the same track, person and camera; None where it is of none."""
    columns = ("tracklet_id", "pid", "camid")
    index = read_table(layout.index(split), ["image_id", *columns])
    rows = pc.index_in(pa.array(image_ids), value_set=index.column("image_id"))
    values = [index.column(name).take(rows).to_pylist() for name in columns]
    return [
        None if track is None else (track, *labels) for track, *labels in zip(*values, strict=True)
    ]


def _cameras(layout: schema.Layout, split: str, image_ids: list[str]) -> NDArray[np.int64] | None:
    """`(N,) int64`, -1 where unknown; None where none is known."""
    index = read_table(layout.index(split), ["image_id", "camid"])
    rows = pc.index_in(pa.array(image_ids), value_set=index.column("image_id"))
    if rows.null_count:
        missing = image_ids[pc.index(pc.is_null(rows), True).as_py()]
        raise DataError(
            f"{rows.null_count} images of {split!r} have features but no index row, the first is "
            f"{missing!r}; run the pipeline again: dvc repro"
        )
    cameras = pc.fill_null(index.column("camid").take(rows), UNKNOWN_CAMERA)
    known = np.asarray(cameras, np.int64)
    return None if (known == UNKNOWN_CAMERA).all() else known
