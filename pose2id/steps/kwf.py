"""Step `kwf`: k-nearest weighted fusion, a feature is joined by its k nearest, the nearer the more.

Source: Che et al., "A Re-ranking Method using K-nearest Weighted Fusion for Person
Re-identification", ICPRAM 2025, arXiv 2509.04050. There the fused features re-rank the first M
candidates; here they are the features. An image's own feature always takes part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pose2id.arrays import Array, as_array, same_kind
from pose2id.choices import NeighborWeights, Reference
from pose2id.errors import ParamsError
from pose2id.features import Floats, l2_normalize
from pose2id.steps.base import FORBID_UNKNOWN, MAX_K, FeatureSet, Step, Surroundings, check_range
from pose2id.steps.neighbor_sums import add_weighted, reference_neighbors

_SMALLEST = 1e-6  # distance of twins, which would weigh infinitely


@dataclass(frozen=True)
class KwfParams:
    """Parameters of `kwf`.

    Attributes:
        k: Neighbours per image.
        weights: How a neighbour's weight follows from its distance.
        strength: Weight of all neighbours together; the image's own feature weighs 1.
        reference: The set in which neighbours are looked for.
    """

    k: int = 4
    weights: NeighborWeights = "inverse_distance"
    strength: float = 1.0
    reference: Reference = "gallery"

    __pydantic_config__: ClassVar = FORBID_UNKNOWN

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_range("kwf", "k", self.k, 1, MAX_K)
        check_range("kwf", "strength", self.strength, 0, 1000)


@same_kind
def kwf(
    features: NDArray[np.floating],
    k: int = 4,
    *,
    reference: Array | None = None,
    weights: NeighborWeights = "inverse_distance",
    strength: float = 1.0,
) -> Floats:
    """K-nearest weighted fusion: f' = l2(f + strength * sum of w_k f_k), the w_k summing to 1.

    Args:
        features: `(N, D)`.
        k: Neighbours per image; fewer where there are fewer.
        reference: `(R, D)` where neighbours are looked for; None = the features themselves, an
            image not being its own neighbour.
        weights: `uniform`; `inverse_distance`: w ~ 1 / d; `exponential`: w ~ exp(-d); d is the
            Euclidean distance.
        strength: Weight of the neighbours together, >= 0.

    Returns:
        `(N, D) float32`, rows of norm 1.

    Raises:
        DataError: Unusable features.
        ParamsError: A parameter out of its range.

    Source: arXiv 2509.04050, section 3.

    Example:
        >>> x = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, -1.0]])
        >>> print(kwf(x, k=1).round(3))
        [[ 0.949  0.316]
         [ 0.949  0.316]
         [ 0.707 -0.707]]
    """
    own = FeatureSet(l2_normalize(features))
    other = own
    if reference is not None:
        other = FeatureSet(l2_normalize(as_array(reference, "reference features")))
    params = KwfParams(k, weights, strength)
    return _apply(own, params, Surroundings(other)).features


def neighbor_weights(sq_distances: Floats, weights: NeighborWeights) -> NDArray[np.float64]:
    """Weights of neighbours by their distance.

    Args:
        sq_distances: `(N, k) float32`, squared distances.
        weights: The rule.

    Returns:
        `(N, k) float64`, rows sum to 1.

    Example:
        >>> neighbor_weights(np.array([[1.0, 9.0]], np.float32), "inverse_distance").tolist()
        [[0.75, 0.25]]
    """
    distances = np.sqrt(np.maximum(sq_distances, 0).astype(np.float64))
    if weights == "uniform":
        raw = np.ones_like(distances)
    elif weights == "inverse_distance":
        raw = 1 / np.maximum(distances, _SMALLEST)
    elif weights == "exponential":
        raw = np.exp(-distances)
    else:
        raise ParamsError(
            f"weights is {weights!r}; allowed: uniform, inverse_distance, exponential."
        )
    total: NDArray[np.float64] = raw / raw.sum(axis=1, keepdims=True)
    return total


def _apply(features: FeatureSet, params: KwfParams, surroundings: Surroundings) -> FeatureSet:
    own, other, table, notes = reference_neighbors("kwf", features, surroundings, params.k)
    if table is None:
        return features.with_features(own, *notes)
    shares = params.strength * neighbor_weights(table.sq_distances, params.weights)
    return features.with_features(add_weighted(own, other, table, shares), *notes)


STEP = Step(
    name="kwf",
    words="fused with its nearest neighbours, the nearer the more",
    source="Che et al., ICPRAM 2025, arXiv 2509.04050",
    params=KwfParams,
    apply=_apply,
)
