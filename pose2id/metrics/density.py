"""ID2, the identity density: how far features of one identity scatter around its centre."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pose2id.arrays import Array, as_array, to_numpy
from pose2id.errors import DataError
from pose2id.features import l2_normalize


def identity_density(features: Array, pids: ArrayLike) -> tuple[float, dict[int, float]]:
    """Mean squared distance of normalised features to their identity's centre; lower is denser.

    The centre is the plain mean. For unit vectors the mean over one identity is 1 - |centre|^2, so
    one pass is enough. An identity with one image has density 0. The overall value is the mean over
    images, so large identities weigh more.

    Args:
        features: `(N, D)`.
        pids: `(N,)` whole numbers.

    Returns:
        The overall density and the density of each identity, by ascending pid.

    Raises:
        DataError: Unusable features or another number of pids.

    Example:
        >>> identity_density(np.array([[1.0, 0.0], [0.0, 2.0]]), [7, 7])
        (0.5, {7: 0.5})

    Source: Pose2ID, equation of ID^2.
    """
    normalized = l2_normalize(as_array(features, "features"))
    labels = to_numpy(pids)
    if labels.shape != (len(normalized),) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"pids must be {len(normalized)} whole numbers, one per feature; received "
            f"{labels.dtype} of shape {labels.shape}."
        )
    identities, counts = np.unique(labels, return_counts=True)
    order = np.argsort(labels, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(counts)])
    per_identity = {}
    for identity, start, stop in zip(identities.tolist(), bounds[:-1], bounds[1:], strict=True):
        members = normalized[order[start:stop]].astype(np.float64)
        center = members.mean(axis=0)
        per_identity[identity] = float(np.square(members - center).sum(axis=1).mean())
    overall = np.dot(np.array(list(per_identity.values())), counts) / len(labels)
    return float(overall), per_identity
