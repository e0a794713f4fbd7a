"""Step `camera_normalize`: what all pictures of a camera have in common is taken out.

Source: Song, Park, Lee, "Exploring the Camera Bias of Person Re-identification", ICLR 2025,
arXiv 2502.10195. Shrinkage for cameras with few pictures is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose2id.arrays import Array, same_kind
from pose2id.choices import Auto, Reference
from pose2id.errors import DataError, ParamsError
from pose2id.features import Floats, check_features
from pose2id.steps.base import (
    FORBID_UNKNOWN,
    UNKNOWN_CAMERA,
    FeatureSet,
    Step,
    Surroundings,
    check_range,
    known,
)

_EPSILON = 1e-6  # of a dimension's spread over the whole set: dead dimensions stay dead


@dataclass(frozen=True)
class CameraNormalizeParams:
    """Parameters of `camera_normalize`.

    Attributes:
        reference: The set whose pictures give each camera's mean and spread.
        shrinkage: How many pictures of the whole set are mixed into a camera's own.
        use: Whether the step is done where a chain names it; `auto` is left to the train split.
    """

    reference: Reference = "gallery"
    shrinkage: float = 10.0
    use: Literal["always"] | Auto = "always"

    __pydantic_config__: ClassVar = FORBID_UNKNOWN

    def __post_init__(self) -> None:
        """Checks the range."""
        check_range("camera_normalize", "shrinkage", self.shrinkage, 0, 1e6)


@same_kind
def camera_normalize(
    features: NDArray[np.floating],
    camids: ArrayLike,
    *,
    reference: Array | None = None,
    reference_camids: ArrayLike | None = None,
    shrinkage: float = 10.0,
) -> Floats:
    """Subtracts the mean of a feature's camera and divides by its standard deviation.

    Mean and variance of a camera with n pictures are those of its own n and of `shrinkage` more
    that are like the whole set, so a camera with few pictures is treated nearly as the whole.
    Pictures of unknown cameras, and of cameras that the reference lacks, are treated as the whole.

    Args:
        features: `(N, D)`, raw or normalised.
        camids: `(N,)` whole numbers, -1 = unknown.
        reference: `(R, D)`, the set that gives the statistics; None = the features themselves.
        reference_camids: `(R,)`, the cameras of `reference`.
        shrinkage: Pictures of the whole set that join a camera's own, >= 0.

    Returns:
        `(N, D) float32`; L2-normalise it before distances are taken.

    Raises:
        DataError: Unusable features, or cameras that do not fit them.
        ParamsError: Negative shrinkage, or a reference without cameras.

    Source: arXiv 2502.10195, section 4.

    Example:
        >>> x = np.array([[0.0], [2.0], [10.0], [12.0]])
        >>> camera_normalize(x, [0, 0, 1, 1], shrinkage=0).ravel().tolist()
        [-1.0, 1.0, -1.0, 1.0]
    """
    matrix = check_features(features, "features")
    cameras = _cameras(camids, len(matrix))
    if not np.isfinite(shrinkage) or shrinkage < 0:
        raise ParamsError(f"shrinkage is {shrinkage}; it must be a number >= 0.")
    if (reference is None) != (reference_camids is None):
        raise ParamsError("reference and reference_camids go together; one of them is missing.")
    rows, row_cameras = matrix, cameras
    if reference is not None and reference_camids is not None:
        rows = check_features(reference, "reference features")
        row_cameras = _cameras(reference_camids, len(rows))
        if rows.shape[1] != matrix.shape[1]:
            raise DataError(
                f"features have {matrix.shape[1]} dimensions but the reference {rows.shape[1]}; "
                "extract both with the same network."
            )
    whole_mean, whole_variance = _moments(rows)
    floor = _EPSILON * np.sqrt(whole_variance.mean()) + np.finfo(np.float64).tiny
    out = np.empty_like(matrix)
    for camera in np.unique(cameras):
        mean, variance = whole_mean, whole_variance
        of_camera = rows[row_cameras == camera]
        if camera != UNKNOWN_CAMERA and len(of_camera):
            mean, variance = _shrunk(of_camera, whole_mean, whole_variance, shrinkage)
        own = cameras == camera
        spread = np.sqrt(variance)
        dead = spread < floor
        out[own] = np.where(dead, 0, (matrix[own] - mean) / np.where(dead, 1, spread))
    return out


def _moments(rows: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of each dimension, `(D,)` each."""
    mean = rows.mean(axis=0, dtype=np.float64)
    square = np.einsum("nd,nd->d", rows, rows, dtype=np.float64) / len(rows)
    return mean, np.maximum(square - mean**2, 0)


def _shrunk(
    rows: Floats, mean: NDArray[np.float64], variance: NDArray[np.float64], shrinkage: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of a camera's pictures and `shrinkage` of the whole set's, mixed."""
    own_mean, own_variance = _moments(rows)
    share = len(rows) / (len(rows) + shrinkage)
    return share * own_mean + (1 - share) * mean, share * own_variance + (1 - share) * variance


def _cameras(camids: ArrayLike, n: int) -> NDArray[np.int64]:
    cameras = np.asarray(camids)
    if cameras.shape != (n,) or not np.issubdtype(cameras.dtype, np.integer):
        raise DataError(
            f"camids must be {n} whole numbers, one per feature (-1 = unknown); received "
            f"{cameras.dtype} of shape {cameras.shape}."
        )
    return cameras.astype(np.int64)


def _apply(
    features: FeatureSet, params: CameraNormalizeParams, surroundings: Surroundings
) -> FeatureSet:
    """Drawings, which no camera took, are normalised as one more camera; second features likewise.

    Each network has its own mean and spread, so they are normalised before they are joined.
    """
    known("camera_normalize", "use", params.use)
    other = surroundings.reference

    def done_to(rows: Floats, reference: Floats) -> tuple[Floats, int]:
        """The rows, and how many were kept: nothing is left where all pictures are alike."""
        out = camera_normalize(
            rows,
            features.cameras,
            reference=reference,
            reference_camids=other.cameras,
            shrinkage=params.shrinkage,
        )
        same = ~out.any(axis=1)
        out[same] = rows[same]
        return out, int(same.sum())

    normalized, n_same = done_to(features.features, other.features)
    notes = []
    n_unknown = int((features.cameras == UNKNOWN_CAMERA).sum())
    if n_unknown:
        notes.append(f"camera_normalize: {n_unknown} images of unknown camera")
    if n_same:
        notes.append(f"camera_normalize: {n_same} features kept, as all are alike")
    drawings = features.drawings
    if drawings is not None and drawings.shape[1] and other.drawings is not None:
        drawings = _normalize_drawings(drawings, other)
    second = features.second
    if second is not None and other.second is not None:
        second, _ = done_to(second, other.second)
    done = replace(features, drawings=drawings, second=second)
    return done.with_features(normalized, *notes)


def _normalize_drawings(drawings: Floats, reference: FeatureSet) -> Floats:
    """`(N, M, D)` likewise; rejected drawings, which may hold anything, stay as they are."""
    assert reference.drawings is not None
    accepted = np.isfinite(drawings).all(axis=2)
    counted = np.isfinite(reference.drawings).all(axis=2)
    if reference.drawing_weights is not None:
        counted &= reference.drawing_weights > 0
    if not accepted.any() or not counted.any():
        return drawings
    out = drawings.copy()
    rows = reference.drawings[counted]
    camera = np.zeros(len(rows), np.int64)
    out[accepted] = camera_normalize(
        drawings[accepted],
        np.zeros(int(accepted.sum()), np.int64),
        reference=rows,
        reference_camids=camera,
        shrinkage=0,
    )
    return out


STEP = Step(
    name="camera_normalize",
    words="with each camera's own mean and spread taken out",
    source="Song et al., ICLR 2025, arXiv 2502.10195",
    params=CameraNormalizeParams,
    apply=_apply,
    choosable=("use",),
)
