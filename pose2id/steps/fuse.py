"""Step `fuse`: the features of an image's drawings join its own.

Source: Pose2ID, CVPR 2025, arXiv 2503.00938, section 3.1 and the authors' code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pose2id.arrays import Array, same_kind
from pose2id.choices import Auto, DrawingWeights, Reduce
from pose2id.errors import DataError, ParamsError
from pose2id.features import Floats, check_features, l2_normalize
from pose2id.steps.base import (
    FORBID_UNKNOWN,
    FeatureSet,
    Step,
    Surroundings,
    check_range,
    known,
)


@dataclass(frozen=True)
class FuseParams:
    """Parameters of `fuse`.

    Attributes:
        reduce: How the features of the drawings become one.
        eta: Strength of the drawings; 0 leaves them out; `auto` is left to the train split.
        weights: What a drawing weighs: all the same, or by its likeness to the original.
    """

    reduce: Reduce = "mean"
    eta: float | Auto = 8.0
    weights: DrawingWeights = "uniform"

    __pydantic_config__: ClassVar = FORBID_UNKNOWN

    def __post_init__(self) -> None:
        """Checks the range."""
        check_range("fuse", "eta", self.eta, 0, 1000)


@same_kind
def fuse(
    original: NDArray[np.floating],
    generated: Array,
    *,
    reduce: Reduce = "mean",
    eta: float = 8.0,
    weights: Array | None = None,
) -> Floats:
    """Fuses the features of an image's generated pictures into its own: f' = l2(f + eta * g).

    g is the weighted mean, weighted sum, or element-wise maximum of the pictures' features. Neither
    f nor g is normalised first. `mean` with eta 2 is the authors' demo; their text's form is `sum`
    with eta 1. `concat` gives l2([f, eta * w_1 g_1, ..., eta * w_M g_M]), M + 1 times as wide.

    A picture with weight 0 (or a False mask) is rejected. A row whose pictures are all rejected
    keeps its original feature, normalised; under `concat` the original is repeated M more times
    with factor eta, so that the row stays comparable with rows that have pictures. Under `concat` a
    single rejected picture is replaced by the original in the same way. Where the sum is exactly
    zero, because opposite features cancel, the original stays as it is.

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

    Source: Pose2ID section 3.1; the authors' demo (`mean`, eta 2) and text (`sum`, eta 1).

    Example:
        >>> drawings = np.array([[[0.0, 1.0], [0.0, 3.0]]])  # two drawings of one image
        >>> print(fuse(np.array([[1.0, 0.0]]), drawings, eta=0.5).round(3))
        [[0.707 0.707]]
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
    sums: NDArray[np.float64] = base + eta * center.astype(np.float64)
    cancelled = ~sums.any(axis=1)
    sums[cancelled] = base[cancelled]
    return l2_normalize(sums)


def _check_weights(weights: Array | None, shape: tuple[int, ...]) -> Floats:
    if weights is None:
        return np.ones(shape, dtype=np.float32)
    checked: Floats = np.asarray(weights, dtype=np.float32)
    if checked.shape != shape or not np.isfinite(checked).all() or (checked < 0).any():
        raise DataError(
            f"weights must be non-negative numbers of shape {shape}, one per generated picture; "
            f"received shape {checked.shape}."
        )
    return checked


def _apply(features: FeatureSet, params: FuseParams, surroundings: Surroundings) -> FeatureSet:
    eta = known("fuse", "eta", params.eta)
    drawings, weights = features.drawings, features.drawing_weights
    done = replace(features, drawings=None, drawing_weights=None)
    if drawings is None or not drawings.shape[1]:
        note = "fuse: there are no drawings, so nothing was fused"
        return done.with_features(l2_normalize(features.features), note)
    left_out = 0 if weights is None else int((weights == 0).sum())
    if params.weights == "identity_similarity":
        likeness = np.maximum(_cosines(features.features, drawings), 0)
        weights = likeness if weights is None else likeness * weights
    fused = fuse(features.features, drawings, reduce=params.reduce, eta=eta, weights=weights)
    n_drawings = drawings.shape[0] * drawings.shape[1]
    notes = [f"fuse: {left_out} of {n_drawings} drawings left out"] if left_out else []
    return done.with_features(fused, *notes)


def _cosines(original: Floats, drawings: Floats) -> Floats:
    """`(N, M)` cosine of each drawing's feature to the original's; 0 where one is unusable."""
    dots = np.einsum("nd,nmd->nm", original, drawings, dtype=np.float64)
    norms = np.linalg.norm(original, axis=1)[:, None] * np.linalg.norm(drawings, axis=2)
    usable = np.isfinite(dots) & np.isfinite(norms) & (norms > 0)
    cosines: Floats = np.where(usable, dots / np.where(usable, norms, 1), 0).astype(np.float32)
    return cosines


STEP = Step(
    name="fuse",
    words="fused with the features of its drawings",
    source="Pose2ID, CVPR 2025, arXiv 2503.00938, section 3.1",
    params=FuseParams,
    apply=_apply,
    transductive=False,
    choosable=("eta",),
)
