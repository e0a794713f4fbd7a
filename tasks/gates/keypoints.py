"""The suite of real images' key points: a row per image, finite numbers, somebody to be seen."""

from __future__ import annotations

import numpy as np

from tasks.gates.running import Check, Suite
from tasks.tables import schema
from tasks.tables.store import read_table, vectors

BETWEEN = "ExpectColumnValuesToBeBetween"
MIN_CONFIDENCE = 0.2  # of the surest joint: below, the network saw nobody
FAR_OUTSIDE = 1.0  # widths or heights of the picture beyond its edge


def keypoints_suite(layout: schema.Layout, split: str) -> Suite:
    """What is expected of the key points of a split.

    Args:
        layout: Where the tables are.
        split: Name of the split.
    """
    table = read_table(layout.keypoints(split))
    points = vectors(table, "keypoints").reshape(-1, schema.N_KEYPOINTS, 3)  # (N, 18, 3)
    found = table.select(["image_id"]).to_pandas()
    found["n_rows"] = found.groupby("image_id")["image_id"].transform("size")
    found["n_not_finite"] = (~np.isfinite(points)).sum(axis=(1, 2))
    found["surest_joint"] = points[:, :, 2].max(axis=1)
    sure = points[:, :, 2] >= MIN_CONFIDENCE
    beyond = np.abs(points[:, :, :2] - 0.5).max(axis=2) - 0.5  # (N, 18)
    found["beyond_edge"] = np.where(sure, beyond, 0.0).max(axis=1)
    index = read_table(layout.index(split), ["image_id"]).to_pandas()
    frame = index.merge(found, on="image_id", how="outer", indicator=True)
    frame["in_index"] = (frame.pop("_merge") != "right_only").astype(int)
    frame["n_rows"] = frame["n_rows"].fillna(0)
    checks = (
        Check(BETWEEN, {"column": "n_rows", "min_value": 1, "max_value": 1}, "row_count", "fail"),
        Check(BETWEEN, {"column": "in_index", "min_value": 1}, "unknown_image", "fail"),
        Check(BETWEEN, {"column": "n_not_finite", "max_value": 0}, "not_finite", "fail"),
        Check(
            BETWEEN,
            {"column": "surest_joint", "min_value": MIN_CONFIDENCE, "max_value": 1.0},
            "nobody_seen",
            "warn",
        ),
        Check(BETWEEN, {"column": "beyond_edge", "max_value": FAR_OUTSIDE}, "off_image", "warn"),
    )
    return Suite("keypoints", frame, checks, ("image_id",))
