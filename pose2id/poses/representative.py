"""Chooses a few poses of a dataset that stand for all of them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose2id.errors import DataError
from pose2id.extras import require

MIN_CONFIDENCE: Final = 0.5
_TORSO: Final = (1, 2, 5, 8, 11)  # neck, shoulders, hips
_MIN_JOINTS: Final = 12


def representative_poses(
    keypoints: NDArray[np.float32], n_poses: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Clusters poses by k-means and returns the real pose nearest to each centre.

    Poses are compared after their torso is moved to the origin and scaled to one size, so that a
    tight and a wide crop of the same step count as one. Joints below `MIN_CONFIDENCE` take the
    mean position over all poses and so count as average. Poses without a whole torso, or with fewer
    than 12 joints, are not used. The idea of few canonical poses is PN-GAN's (Qian et al., 2018).

    Args:
        keypoints: `(N, 18, 3) float32` OpenPose-18, x and y in [0, 1].
        n_poses: How many to choose.
        seed: Of the clustering.

    Returns:
        `(n_poses, 18, 3) float32`, the chosen poses with their joints below `MIN_CONFIDENCE` at
        confidence 0, largest cluster first, and `(n_poses,) int64`, their row numbers.

    Raises:
        DataError: Wrong shape, or fewer than `n_poses` poses are usable.
        MissingDependencyError: scikit-learn is not installed.
    """
    require("poses", "sklearn", purpose="Clustering poses")
    from sklearn.cluster import KMeans

    if keypoints.ndim != 3 or keypoints.shape[1:] != (18, 3):
        raise DataError(f"poses have the shape (N, 18, 3), OpenPose-18; got {keypoints.shape}")
    seen = keypoints[:, :, 2] >= MIN_CONFIDENCE  # (N, 18)
    usable = np.flatnonzero(seen[:, _TORSO].all(axis=1) & (seen.sum(axis=1) >= _MIN_JOINTS))
    if not 1 <= n_poses <= len(usable):
        raise DataError(
            f"{n_poses} poses were asked for; {len(usable)} of {len(keypoints)} are complete "
            f"enough (the torso and {_MIN_JOINTS} joints at confidence {MIN_CONFIDENCE})"
        )
    points = _normalized(keypoints[usable], seen[usable])  # (M, 36)
    clusters = KMeans(n_poses, n_init=4, random_state=seed).fit(points)
    chosen: list[tuple[int, int]] = []  # minus the size, row number
    for number, centre in enumerate(clusters.cluster_centers_):
        members = np.flatnonzero(clusters.labels_ == number)
        distances = ((points[members] - centre) ** 2).sum(axis=1)
        chosen.append((-len(members), int(usable[members[np.argmin(distances)]])))
    rows = np.array([row for _, row in sorted(chosen)], dtype=np.int64)
    poses = keypoints[rows].copy()
    poses[~seen[rows]] = 0
    return poses, rows


def _normalized(keypoints: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Torso at the origin, mean distance of its joints 1, unseen joints at their mean."""
    xy = keypoints[:, :, :2].astype(np.float64) * (0.5, 1.0)  # persons are twice as high as wide
    xy -= xy[:, _TORSO].mean(axis=1, keepdims=True)
    size = np.linalg.norm(xy[:, _TORSO], axis=2).mean(axis=1)  # (M,)
    xy /= np.maximum(size, 1e-6)[:, None, None]
    known = np.where(seen[:, :, None], xy, 0.0)
    mean = known.sum(axis=0) / np.maximum(seen.sum(axis=0), 1)[:, None]  # (18, 2)
    return np.where(seen[:, :, None], xy, mean).reshape(len(xy), -1)
