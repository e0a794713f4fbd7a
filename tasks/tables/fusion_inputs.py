"""The features that passed the quality gates, as arrays of originals and their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pose2id.errors import DataError
from tasks.tables import schema
from tasks.tables.params import CentralizeParams
from tasks.tables.store import read_table, vectors


def load_features(
    layout: schema.Layout, split: str, params: CentralizeParams
) -> tuple[list[str], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The accepted features of a split.

    Args:
        layout: Where the tables are.
        split: Name of the split.
        params: `fusion.weights` decides what a picture weighs.

    Returns:
        Image ids (N, sorted); originals `(N, D) float32`; generated `(N, M, D) float32`, zeros
        where there is no accepted picture; weights `(N, M) float32`, 0 where there is none.

    Raises:
        DataError: No image of the split was accepted.
    """
    table = read_table(layout.features(split), ["image_id", "pose_id", "feature"])
    quality = read_table(
        layout.quality(split), ["image_id", "pose_id", "accepted", "identity_similarity"]
    )
    weight_of = _weights(quality, params)
    keys = list(
        zip(table.column("image_id").to_pylist(), table.column("pose_id").to_pylist(), strict=True)
    )
    original_ids = schema.ORIGINAL_POSE_ID
    image_ids = sorted(i for i, p in keys if p == original_ids and weight_of.get((i, p), 0) > 0)
    if not image_ids:
        raise DataError(f"no image of split {split!r} passed the quality gates; see data/quality")
    features = vectors(table)
    row_of = {image_id: row for row, image_id in enumerate(image_ids)}
    pose_ids = sorted({pose for _, pose in keys} - {original_ids})
    slot_of = {pose: slot for slot, pose in enumerate(pose_ids)}
    shape = (len(image_ids), len(pose_ids))
    original = np.zeros((len(image_ids), features.shape[1]), np.float32)
    generated = np.zeros((*shape, features.shape[1]), np.float32)
    weights = np.zeros(shape, np.float32)
    for (image_id, pose), feature in zip(keys, features, strict=True):
        row = row_of.get(image_id)
        weight = weight_of.get((image_id, pose), 0.0)
        if row is None or weight <= 0:
            continue
        if pose == original_ids:
            original[row] = feature
        else:
            generated[row, slot_of[pose]] = feature
            weights[row, slot_of[pose]] = weight
    return image_ids, original, generated, weights


def _weights(quality: pa.Table, params: CentralizeParams) -> dict[tuple[str, int], float]:
    rows: Sequence[dict[str, Any]] = quality.to_pylist()
    if params.fusion.weights == "uniform":
        return {(row["image_id"], row["pose_id"]): float(row["accepted"]) for row in rows}
    return {
        (row["image_id"], row["pose_id"]): float(row["accepted"])
        * (1.0 if row["pose_id"] < 0 else max(0.0, row["identity_similarity"] or 0.0))
        for row in rows
    }
