"""Feature centralization: fusing generated pictures (IPG) and mutual neighbours (NFC).

Source: Pose2ID, CVPR 2025, arXiv 2503.00938. Both steps are training-free. NFC is transductive: a
feature's value depends on the whole set, so query and gallery are centralized separately.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pose2id.distances import Floats, check_features
from pose2id.errors import DataError, ParamsError
from pose2id.neighbors import NeighborTable, nearest_neighbors

_ROWS_PER_CHUNK = 4096

Reduce = Literal["mean", "sum", "max", "concat"]


def l2_normalize(features: NDArray[np.floating]) -> Floats:
    """Divides each row by its Euclidean norm.

    Args:
        features: `(N, D)`.

    Returns:
        `(N, D) float32`, rows of norm 1.

    Raises:
        DataError: Unusable features or a row of zeros, which has no direction.

    Example:
        >>> l2_normalize(np.array([[3.0, 4.0]])).tolist()
        [[0.6000000238418579, 0.800000011920929]]
    """
    matrix = check_features(features, "features")
    return _divide_by_norms(matrix, np.empty_like(matrix))


def _divide_by_norms(matrix: Floats, out: Floats) -> Floats:
    """Writes normalised rows to `out`, which may be the matrix itself."""
    n_zero, first_zero = 0, 0
    for start in range(0, len(matrix), _ROWS_PER_CHUNK):  # float64 for some rows at a time
        rows = matrix[start : start + _ROWS_PER_CHUNK].astype(np.float64)
        norms = np.sqrt(np.einsum("nd,nd->n", rows, rows))
        zero = np.flatnonzero(norms == 0)
        if zero.size:
            first_zero = first_zero if n_zero else start + int(zero[0])
            n_zero += zero.size
            continue
        out[start : start + _ROWS_PER_CHUNK] = rows / norms[:, None]
    if n_zero:
        raise DataError(
            f"{n_zero} of {len(matrix)} features are all zeros (first row: {first_zero}); they "
            "have no direction to compare. Extract them again or drop the images."
        )
    return out


def fuse(
    original: NDArray[np.floating],
    generated: NDArray[np.floating],
    *,
    reduce: Reduce = "mean",
    eta: float = 2.0,
    weights: NDArray[np.floating] | NDArray[np.bool_] | None = None,
) -> Floats:
    """Fuses the features of an image's generated pictures into its own: f' = l2(f + eta * g).

    g is the weighted mean, weighted sum, or element-wise maximum of the pictures' features. Neither
    f nor g is normalised first. `mean` with eta 2 is the authors' demo; their text's form is `sum`
    with eta 1. `concat` gives l2([f, eta * w_1 g_1, ..., eta * w_M g_M]), M + 1 times as wide.

    A picture with weight 0 (or a False mask) is rejected. A row whose pictures are all rejected
    keeps its original feature, normalised; under `concat` the original is repeated M more times
    with factor eta, so that the row stays comparable with rows that have pictures. Under `concat` a
    single rejected picture is replaced by the original in the same way.

    Args:
        original: `(N, D)` raw features.
        generated: `(N, M, D)` raw features of M pictures per image; rejected ones may be anything.
        reduce: How the M features become one.
        eta: Strength of the pictures, >= 0.
        weights: `(N, M)` non-negative quality weights or mask; None counts each picture once.

    Returns:
        `(N, D) float32`, or `(N, (M + 1) * D)` for `concat`; rows of norm 1.

    Raises:
        DataError: Shapes disagree, or features or weights are unusable.
        ParamsError: Unknown `reduce` or negative eta.
    """
    base = check_features(original, "original features")
    pictures = np.asarray(generated, dtype=np.float32)
    n, dim = base.shape
    if pictures.ndim != 3 or pictures.shape[0] != n or pictures.shape[2] != dim:
        raise DataError(
            f"generated features must have shape ({n}, M, {dim}) to match the originals; "
            f"received {pictures.shape}."
        )
    if not np.isfinite(eta) or eta < 0:
        raise ParamsError(f"eta is {eta}; it must be a number >= 0.")
    weight = _check_weights(weights, pictures.shape[:2])
    accepted = weight > 0  # (N, M)
    pictures = np.where(accepted[:, :, None], pictures, 0)  # rejected rows may hold NaN
    if not np.isfinite(pictures).all():
        raise DataError(
            "generated features hold NaN or infinite values in accepted pictures. Reject these "
            "pictures (weight 0) or extract them again."
        )
    if reduce == "concat":
        filled = np.where(accepted[:, :, None], pictures, base[:, None, :])
        factors = np.where(accepted, weight, 1).astype(np.float32)[:, :, None]
        parts = np.concatenate([base[:, None, :], eta * factors * filled], axis=1)
        return l2_normalize(parts.reshape(n, -1))
    if reduce == "max":
        center = np.where(accepted[:, :, None], pictures, -np.inf).max(axis=1, initial=-np.inf)
        center[~accepted.any(axis=1)] = 0
    elif reduce in ("mean", "sum"):
        center = np.einsum("nm,nmd->nd", weight, pictures)
        if reduce == "mean":
            total = weight.sum(axis=1, keepdims=True)
            center /= np.where(total > 0, total, 1)
    else:
        raise ParamsError(f"reduce is {reduce!r}; allowed: mean, sum, max, concat.")
    return l2_normalize(base + eta * center)


def _check_weights(
    weights: NDArray[np.floating] | NDArray[np.bool_] | None, shape: tuple[int, ...]
) -> Floats:
    if weights is None:
        return np.ones(shape, dtype=np.float32)
    checked = np.asarray(weights, dtype=np.float32)
    if checked.shape != shape or not np.isfinite(checked).all() or (checked < 0).any():
        raise DataError(
            f"weights must be non-negative numbers of shape {shape}, one per generated picture; "
            f"received shape {checked.shape}."
        )
    return checked


def mutual_neighbors(ids: NDArray[np.integer], k1: int, k2: int) -> NDArray[np.bool_]:
    """Which of the k1 nearest neighbours of i have i among their own k2 nearest.

    Args:
        ids: `(N, k)` neighbour ids, nearest first, k >= k1.
        k1: Neighbours that may be absorbed.
        k2: How near the way back must be; more than k1 counts as k1.

    Returns:
        `(N, k1) bool`, True where `ids[i, slot]` is mutual.

    Example:
        >>> mutual_neighbors(np.array([[1], [0], [1]]), 1, 1).tolist()
        [[True], [True], [False]]
    """
    if k1 < 1 or k2 < 1:
        raise ParamsError(f"k1 is {k1} and k2 is {k2}; both must be at least 1.")
    if k1 > ids.shape[1]:
        raise DataError(
            f"k1 = {k1} but the table holds only {ids.shape[1]} neighbours per image; compute it "
            f"with k >= {k1}."
        )
    back = ids[:, : min(k1, k2)]
    own = np.arange(len(ids))[:, None]
    mutual = np.zeros((len(ids), k1), dtype=np.bool_)
    for slot in range(back.shape[1]):  # one slot at a time: memory stays O(N k1)
        mutual |= back[ids[:, :k1], slot] == own
    return mutual


def nfc(
    features: NDArray[np.floating],
    k1: int = 2,
    k2: int = 2,
    *,
    neighbors: NeighborTable | None = None,
    normalize: bool = True,
) -> Floats:
    """Neighbour feature centralization: x'_i = l2(x_i + sum of i's mutual neighbours).

    All sums read the features as they came in. Cameras are ignored, distractors take part.

    Args:
        features: `(N, D)`.
        k1: Neighbours that may be absorbed.
        k2: How near the way back must be.
        neighbors: Table of the same features (normalised, where `normalize`), with k >= k1; None
            computes the exact one.
        normalize: Normalise before and after, as in the authors' evaluation; their stand-alone
            script does neither.

    Returns:
        `(N, D) float32`, rows of norm 1 where `normalize`.

    Raises:
        DataError: Unusable features, N <= k1, or a table of other features.
        ParamsError: k1 or k2 below 1.

    Source: Pose2ID section 3.2 and the authors' code.
    """
    if k1 < 1 or k2 < 1:
        raise ParamsError(f"k1 is {k1} and k2 is {k2}; both must be at least 1.")
    matrix = l2_normalize(features) if normalize else check_features(features, "features")
    if len(matrix) <= k1:
        raise DataError(
            f"centralization with k1 = {k1} needs more than {k1} images; received {len(matrix)}. "
            "Lower k1 or add images."
        )
    table = nearest_neighbors(matrix, k1) if neighbors is None else neighbors
    if len(table) != len(matrix):
        raise DataError(
            f"the neighbour table has {len(table)} rows but there are {len(matrix)} features; "
            "compute it from these features."
        )
    mutual = mutual_neighbors(table.ids, k1, k2)
    out = matrix.copy()
    for slot in range(k1):
        rows = np.flatnonzero(mutual[:, slot])
        out[rows] += matrix[table.ids[rows, slot]]
    return _divide_by_norms(out, out) if normalize else out
