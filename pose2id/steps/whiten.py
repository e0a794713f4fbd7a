"""Step `whiten`: principal components of a reference set, each brought towards the same spread.

Source: Jegou, Chum, "Negative evidences and co-occurences in image retrieval: the benefit of PCA
and whitening", ECCV 2012. The shrinkage of the spectrum is ours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pose2id.arrays import Array, same_kind
from pose2id.choices import Reference
from pose2id.errors import DataError, ParamsError
from pose2id.features import Floats, check_features
from pose2id.steps.base import FORBID_UNKNOWN, FeatureSet, Step, Surroundings, check_range


@dataclass(frozen=True)
class WhitenParams:
    """Parameters of `whiten`.

    Attributes:
        reference: The set whose principal components are taken.
        dims: How many components are kept; null = all.
        shrinkage: Share of the mean spread that is mixed into each component's own, 0 to 1: 0 is
            full whitening, 1 leaves lengths as they are.
    """

    reference: Reference = "gallery"
    dims: int | None = None
    shrinkage: float = 0.1

    __pydantic_config__: ClassVar = FORBID_UNKNOWN

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_range("whiten", "shrinkage", self.shrinkage, 0, 1)
        if self.dims is not None:
            check_range("whiten", "dims", self.dims, 1, 2**20)


@same_kind
def whiten(
    features: NDArray[np.floating],
    *,
    reference: Array | None = None,
    dims: int | None = None,
    shrinkage: float = 0.1,
) -> Floats:
    """Centres features, turns them to principal components and evens out their spread.

    Args:
        features: `(N, D)`, or `(N, M, D)` for M drawings an image.
        reference: `(R, D)`, the set that gives mean and components; None = the features.
        dims: Components kept, at most min(R - 1, D); None = all of these.
        shrinkage: Share of the mean variance in each component's own, 0 to 1.

    Returns:
        `(N, dims) float32` or `(N, M, dims) float32`; L2-normalise it before distances are taken.

    Raises:
        DataError: Unusable features, or a reference of less than two different rows.
        ParamsError: A parameter out of its range.

    Source: ECCV 2012, see the module.

    Example:
        >>> x = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> print(np.abs(whiten(x, shrinkage=0)).round(3))
        [[1.414 0.   ]
         [1.414 0.   ]
         [0.    1.414]
         [0.    1.414]]
    """
    shape = np.shape(features)
    flat = check_features(np.reshape(features, (-1, shape[-1])), "features")
    rows = flat if reference is None else check_features(reference, "reference features")
    largest = min(len(rows) - 1, rows.shape[1])
    if rows.shape[1] != flat.shape[1] or largest < 1:
        raise DataError(
            f"whitening {flat.shape[1]}-dimensional features needs a reference of at least two "
            f"such rows; received {rows.shape}."
        )
    if not 0 <= shrinkage <= 1 or (dims is not None and dims < 1):
        raise ParamsError(
            f"dims is {dims} and shrinkage {shrinkage}; allowed: at least 1, and 0 to 1."
        )
    mean = rows.mean(axis=0, dtype=np.float64)
    centred = rows - mean
    spectrum, components = np.linalg.eigh(centred.T @ centred / len(rows))
    kept = slice(None, -min(dims or largest, largest) - 1, -1)  # largest spread first
    spectrum, components = np.maximum(spectrum[kept], 0), components[:, kept]
    if not spectrum[0] > 0:
        raise DataError("all rows of the reference are the same; there is nothing to whiten.")
    spread = (1 - shrinkage) * spectrum + shrinkage * spectrum.mean()
    components = components / np.sqrt(np.maximum(spread, spectrum[0] * 1e-12))
    out: Floats = ((flat - mean) @ components).astype(np.float32)
    return out.reshape(*shape[:-1], out.shape[1])


def _apply(features: FeatureSet, params: WhitenParams, surroundings: Surroundings) -> FeatureSet:
    """Drawings are brought into the same space, so that they can be fused afterwards."""
    rows, drawings = surroundings.reference.features, features.drawings
    if len(rows) < 2:
        return features.with_features(
            features.features, "whiten: left out, as the reference holds only one image"
        )
    whitened = whiten(
        features.features, reference=rows, dims=params.dims, shrinkage=params.shrinkage
    )
    if drawings is not None and drawings.shape[1]:
        finite = np.where(np.isfinite(drawings), drawings, 0)  # rejected ones weigh nothing
        drawings = whiten(finite, reference=rows, dims=params.dims, shrinkage=params.shrinkage)
    elif drawings is not None:
        drawings = np.empty((len(whitened), 0, whitened.shape[1]), np.float32)
    return replace(features, features=whitened, drawings=drawings)


STEP = Step(
    name="whiten",
    words="whitened",
    source="Jegou, Chum, ECCV 2012",
    params=WhitenParams,
    apply=_apply,
)
