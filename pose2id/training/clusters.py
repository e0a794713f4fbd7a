"""People without labels: pictures grouped by what a feature network sees."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose2id.errors import DataError
from pose2id.extras import require
from pose2id.features import l2_normalize
from pose2id.steps.camera_normalize import camera_normalize

NOISE: Final = -1
MIN_PICTURES: Final = 3


def cluster_identities(
    features: NDArray[np.float32], cameras: NDArray[np.int64], min_people: int = 2
) -> NDArray[np.int64]:
    """Groups pictures that look like one person, across cameras.

    The step `camera_normalize` comes first, since pictures of one camera look alike whoever they
    show. HDBSCAN then finds groups of any size; what belongs to none is noise.

    Args:
        features: `(N, D)` raw features.
        cameras: `(N,)` camera numbers, -1 = unknown.
        min_people: Fewer groups than this are no training set.

    Returns:
        `(N,) int64` person numbers from 0, `NOISE` where none was found.

    Raises:
        DataError: Fewer than `min_people` groups.
        MissingDependencyError: scikit-learn is not installed.

    Source: Campello et al., Density-Based Clustering Based on Hierarchical Density Estimates, 2013.
    """
    require("poses", "sklearn", purpose="Finding people without labels")
    from sklearn.cluster import HDBSCAN

    unit = l2_normalize(camera_normalize(l2_normalize(features), cameras)).astype(np.float64)
    groups = HDBSCAN(min_cluster_size=MIN_PICTURES, min_samples=1, copy=True).fit_predict(unit)
    people = np.asarray(groups, dtype=np.int64)
    n_people = int(people.max(initial=NOISE)) + 1
    if n_people < min_people:
        raise DataError(
            f"only {n_people} groups of pictures look like one person among {len(features)}; that "
            "is too few to train on. Use a stronger features.extractor, or give labels."
        )
    people[people < 0] = NOISE
    return people
