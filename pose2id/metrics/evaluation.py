"""What scoring returns: results per query, their means, and ranked lists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Rankings:
    """The nearest gallery images of each query, nearest first, ties to the lower index.

    Attributes:
        gallery: `(Q, K) int64` gallery index.
        distance: `(Q, K) float32` exact distance.
        is_match: `(Q, K) bool`, same identity as the query and not junk.
        is_junk: `(Q, K) bool`, same identity and camera; listed here, left out of every metric.
    """

    gallery: NDArray[np.int64]
    distance: NDArray[np.float32]
    is_match: NDArray[np.bool_]
    is_junk: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of one variant. Queries without a positive are not valid and leave every mean.

    Attributes:
        protocol: Name of the protocol.
        ap: `(Q,) float64` average precision, NaN where not valid.
        inp: `(Q,) float64` inverse negative penalty (positives / rank of the last), NaN likewise.
        first_hit_rank: `(Q,) int64` rank of the nearest positive from 1, 0 where not valid; of
            several draws the lower median.
        n_positives: `(Q,) int64` positives left after removing junk.
        valid: `(Q,) bool`, at least one positive.
        cmc: `(R,) float64`; `cmc[r]` is the share of valid queries with a hit within r + 1.
        mAP: Mean of `ap` over valid queries.
        mINP: Mean of `inp` over valid queries.
        tpr_at_fpr: Verification over all kept pairs: false positive rate -> true positive rate;
            empty where not asked for.
        rankings: Ranked lists, None where not asked for.
    """

    protocol: str
    ap: NDArray[np.float64]
    inp: NDArray[np.float64]
    first_hit_rank: NDArray[np.int64]
    n_positives: NDArray[np.int64]
    valid: NDArray[np.bool_]
    cmc: NDArray[np.float64]
    mAP: float
    mINP: float
    tpr_at_fpr: dict[float, float]
    rankings: Rankings | None

    def rank(self, r: int) -> float:
        """Rank-r accuracy: share of valid queries with a hit among the first r."""
        return float(self.cmc[min(r, len(self.cmc)) - 1])
