"""What scoring returns: results per query, their means, repetitions, and ranked lists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose2id.distances import Reals


@dataclass(frozen=True, slots=True)
class Rankings:
    """The nearest gallery images of each query, nearest first.

    Attributes:
        gallery: `(Q, K) int64` gallery index.
        distance: `(Q, K)` exact distance; float32, or float64 from a matrix of float64.
        is_match: `(Q, K) bool`, same identity as the query and not junk.
        is_junk: `(Q, K) bool`, what the protocol hides from the query; listed here, left out of
            every metric.
    """

    gallery: NDArray[np.int64]
    distance: Reals
    is_match: NDArray[np.bool_]
    is_junk: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TrialScores:
    """Scores of one repetition, means over its valid queries; NaN without any.

    Attributes:
        name: Which repetition, such as `trial 3`.
        mAP: Mean average precision.
        mINP: Mean inverse negative penalty.
        cmc: `(R,) float64`, share of valid queries with a hit within r + 1.
        n_valid: Number of valid queries.
        backward: Whether gallery images asked for queries.
    """

    name: str
    mAP: float
    mINP: float
    cmc: NDArray[np.float64]
    n_valid: int
    backward: bool = False


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of one variant. Queries without a positive are not valid and leave every mean.

    Values per query are means over the repetitions in which it has a positive; where a protocol
    scores both directions, they are of the first.

    Attributes:
        protocol: Name of the protocol.
        ap: `(Q,) float64` average precision, NaN where not valid.
        inp: `(Q,) float64` inverse negative penalty (positives / rank of the last), NaN likewise.
        first_hit_rank: `(Q,) int64` rank of the nearest positive from 1, 0 where not valid; of
            several repetitions the lower median.
        n_positives: `(Q,) int64` positives that the query may see, draws aside.
        valid: `(Q,) bool`, a positive in at least one repetition.
        cmc: `(R,) float64`; `cmc[r]` is the share of valid queries with a hit within r + 1.
        mAP: Mean of `ap` over valid queries, then over repetitions; NaN without a valid query.
        mINP: Mean of `inp` likewise.
        tpr_at_fpr: Verification over all kept pairs, draws aside: false positive rate -> true
            positive rate; empty where not asked for.
        rankings: Ranked lists, None where not asked for.
        trials: Every repetition; one where the protocol has none.
        notes: What a reader of the numbers should know, as sentences.
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
    trials: tuple[TrialScores, ...]
    notes: tuple[str, ...]

    def rank(self, r: int) -> float:
        """Rank-r accuracy: share of valid queries with a hit among the first r."""
        return float(self.cmc[min(r, len(self.cmc)) - 1])

    @property
    def n_trials(self) -> int:
        """Number of repetitions."""
        return len(self.trials)

    @property
    def mAP_std(self) -> float:
        """Sample standard deviation of mAP over the repetitions; NaN with less than two."""
        return _spread([trial.mAP for trial in self.trials])

    def rank_std(self, r: int) -> float:
        """Sample standard deviation of Rank-r over the repetitions; NaN with less than two."""
        return _spread([float(trial.cmc[min(r, len(trial.cmc)) - 1]) for trial in self.trials])


def _spread(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.std(known, ddof=1)) if len(known) > 1 else float("nan")
