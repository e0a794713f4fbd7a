"""Person, camera and distractor labels of images, as the metrics want them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose2id.errors import DataError
from tasks.tables.schema import Layout
from tasks.tables.store import read_table

UNKNOWN = -1


@dataclass(frozen=True)
class Labels:
    """Labels of N images.

    Attributes:
        image_ids: N names.
        pids: `(N,) int64`, -1 = unknown.
        camids: `(N,) int64`, -1 = unknown.
        distractors: `(N,) bool`, matches no query whatever its pid.
    """

    image_ids: list[str]
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]
    distractors: NDArray[np.bool_]


def read_labels(layout: Layout, split: str, image_ids: list[str]) -> Labels:
    """Labels of some images of a split, in the given order.

    Raises:
        DataError: An image is not in the split's index.
    """
    index = read_table(layout.index(split), ["image_id", "pid", "camid", "distractor"])
    rows = {row["image_id"]: row for row in index.to_pylist()}
    missing = [image_id for image_id in image_ids if image_id not in rows]
    if missing:
        raise DataError(
            f"{len(missing)} images of {split!r} have features but no index row, the first is "
            f"{missing[0]!r}; run the pipeline again: dvc repro"
        )
    labels = [rows[image_id] for image_id in image_ids]
    return Labels(
        image_ids,
        np.array([UNKNOWN if row["pid"] is None else row["pid"] for row in labels], np.int64),
        np.array([UNKNOWN if row["camid"] is None else row["camid"] for row in labels], np.int64),
        np.array([row["distractor"] for row in labels], np.bool_),
    )
