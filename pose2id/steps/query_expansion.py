"""Step `query_expansion`: a feature becomes the mean of itself and its nearest, average or alpha.

Source: average: Chum et al., "Total Recall", ICCV 2007; alpha: Radenovic, Tolias, Chum,
"Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2019, arXiv 1711.02512, 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pose2id.arrays import Array, as_array, same_kind
from pose2id.choices import Reference
from pose2id.features import Floats, l2_normalize
from pose2id.steps.base import FORBID_UNKNOWN, MAX_K, FeatureSet, Step, Surroundings, check_range
from pose2id.steps.neighbor_sums import add_weighted, reference_neighbors


@dataclass(frozen=True)
class QueryExpansionParams:
    """Parameters of `query_expansion`.

    Attributes:
        k: Neighbours per image.
        alpha: Power of the cosine that weighs a neighbour; 0 is average query expansion.
        reference: The set in which neighbours are looked for.
    """

    k: int = 3
    alpha: float = 3.0
    reference: Reference = "gallery"

    __pydantic_config__: ClassVar = FORBID_UNKNOWN

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_range("query_expansion", "k", self.k, 1, MAX_K)
        check_range("query_expansion", "alpha", self.alpha, 0, 100)


@same_kind
def query_expansion(
    features: NDArray[np.floating],
    k: int = 3,
    *,
    alpha: float = 3.0,
    reference: Array | None = None,
) -> Floats:
    """Query expansion: f' = l2(f + sum over the k nearest of max(cos, 0)^alpha f_k).

    Args:
        features: `(N, D)`.
        k: Neighbours per image; fewer where there are fewer.
        alpha: Power of the cosine; 0 weighs all neighbours alike (average query expansion).
        reference: `(R, D)` where neighbours are looked for, for queries the gallery; None = the
            features themselves (database-side expansion), an image not being its own neighbour.

    Returns:
        `(N, D) float32`, rows of norm 1.

    Raises:
        DataError: Unusable features.
        ParamsError: A parameter out of its range.

    Source: Chum et al. 2007 (alpha 0); arXiv 1711.02512 (alpha > 0).

    Example:
        >>> gallery = np.array([[0.8, 0.6], [0.0, 1.0]])
        >>> print(query_expansion(np.array([[1.0, 0.0]]), 1, alpha=0, reference=gallery).round(3))
        [[0.949 0.316]]
    """
    own = FeatureSet(l2_normalize(features))
    other = own
    if reference is not None:
        other = FeatureSet(l2_normalize(as_array(reference, "reference features")))
    return _apply(own, QueryExpansionParams(k, alpha), Surroundings(other)).features


def _apply(
    features: FeatureSet, params: QueryExpansionParams, surroundings: Surroundings
) -> FeatureSet:
    own, other, table, notes = reference_neighbors(
        "query_expansion", features, surroundings, params.k
    )
    if table is None:
        return features.with_features(own, *notes)
    cosines = np.clip(1 - table.sq_distances.astype(np.float64) / 2, 0, 1)
    return features.with_features(add_weighted(own, other, table, cosines**params.alpha), *notes)


STEP = Step(
    name="query_expansion",
    words="averaged with its nearest neighbours by their likeness",
    source="Chum et al. 2007; Radenovic et al., TPAMI 2019, arXiv 1711.02512",
    params=QueryExpansionParams,
    apply=_apply,
)
