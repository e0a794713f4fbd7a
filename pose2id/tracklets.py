"""Tracklets: the features of a track's images become one feature before any step of a chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pose2id.errors import DataError
from pose2id.features import Floats, Ints
from pose2id.steps.base import FeatureSet


def pool_tracklets(features: FeatureSet, tracks: Sequence[object]) -> tuple[Ints, FeatureSet]:
    """One row per track: the mean of its raw features, and of its drawings pose by pose.

    A drawing's mean is over the images where it was accepted, and it weighs as much as the share of
    these, so that fusion takes the mean of all accepted drawings of the track beside the mean of
    its real images.

    Args:
        features: N images.
        tracks: N values that say which track an image is of; `None` stays alone.

    Returns:
        `(T,) int64`, the row of each track's first image, ascending, whose camera the track has;
        and the T tracks' features.

    Raises:
        DataError: There are not as many tracks as images.

    Example:
        >>> images = FeatureSet(np.array([[0.0, 2.0], [9.0, 9.0], [4.0, 0.0]], np.float32))
        >>> rows, pooled = pool_tracklets(images, ["a", None, "a"])
        >>> rows.tolist(), pooled.features.tolist()
        ([0, 1], [[2.0, 1.0], [9.0, 9.0]])
    """
    if len(tracks) != len(features):
        raise DataError(f"{len(features)} features need {len(features)} tracks, not {len(tracks)}.")
    first: dict[object, int] = {}
    owner = np.array(
        [
            row if track is None else first.setdefault(track, row)
            for row, track in enumerate(tracks)
        ],
        np.int64,
    )
    rows, place, sizes = np.unique(owner, return_inverse=True, return_counts=True)
    order = np.argsort(place, kind="stable")
    starts = np.cumsum(sizes) - sizes

    def mean(values: Floats, shares: Floats) -> Floats:
        """`(T, D)`: the mean of each track's rows of `(N, D)`, each with its share."""
        sums = np.add.reduceat((values * shares[:, None])[order], starts, dtype=np.float64)
        total = np.add.reduceat(shares[order], starts, dtype=np.float64)
        return (sums / np.where(total > 0, total, 1)[:, None]).astype(np.float32)

    pooled = features.take(rows)
    ones = np.ones(len(features), np.float32)
    second = None if features.second is None else mean(features.second, ones)
    pooled = replace(pooled, features=mean(features.features, ones), second=second)
    if features.drawings is None:
        return rows, pooled
    weights = features.drawing_weights
    if weights is None:
        weights = np.ones(features.drawings.shape[:2], np.float32)
    drawings = np.zeros((len(rows), *features.drawings.shape[1:]), np.float32)
    for slot in range(weights.shape[1]):  # all drawings at once may not fit into memory
        drawings[:, slot] = mean(features.drawings[:, slot], weights[:, slot])
    shares = np.add.reduceat(weights[order], starts, dtype=np.float64) / sizes[:, None]
    return rows, replace(
        pooled,
        drawings=drawings,
        drawing_weights=shares.astype(np.float32),
    )
