"""One direction of scoring: queries against a gallery, in every repetition of a protocol.

Ranks are counted, the gallery is never sorted, and nothing larger than a block of distances is
ever held.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose2id.distances import DistanceSource, Reals
from pose2id.features import Ints
from pose2id.labels import UNKNOWN
from pose2id.metrics.evaluation import Rankings, TrialScores
from pose2id.metrics.matching import Matching
from pose2id.metrics.ranks import RankCounter, nearest, person_rank
from pose2id.metrics.trials import Trial
from pose2id.metrics.verification import Verification
from pose2id.protocols import Rules


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is computed beside the metrics, and in how much memory.

    Attributes:
        false_positive_rates: Rates for which to report the true positive rate of verification.
        top_k: Length of the ranked lists, 0 for none.
        max_rank: Length R of the CMC curve.
        memory_mib: Bound on a block of distances; more is not faster.
    """

    false_positive_rates: tuple[float, ...] = ()
    top_k: int = 50
    max_rank: int = 50
    memory_mib: int = 32


class Direction:
    """Scores of queries against a gallery.

    Attributes:
        ap: `(T, Q) float64` average precision per repetition, NaN without a positive.
        inp: `(T, Q) float64` inverse negative penalty likewise.
        first_hits: `(T, Q) int64` CMC rank of the nearest positive, 0 without.
        n_positives: `(Q,) int64` positives that the query may see, draws aside.
        lists: Ranked lists, None where not asked for.
        tpr_at_fpr: True positive rates of verification.
    """

    def __init__(
        self,
        distances: DistanceSource,
        matching: Matching,
        trials: list[Trial],
        rules: Rules,
        wanted: Wanted,
        tie_order: Ints | None = None,
    ) -> None:
        """Scores every query in every repetition.

        Args:
            distances: Where the distances come from, (Q, G).
            matching: Who matches whom and who may not be seen.
            trials: The repetitions.
            rules: The protocol.
            wanted: Lists and rates.
            tie_order: `(G,)` the order of gallery images at equal distances; None = by index.
        """
        n_queries, n_gallery = distances.shape
        self._distances, self._matching, self._rules = distances, matching, rules
        self._trials, self._tie_order = trials, tie_order
        self.ap = np.full((len(trials), n_queries), np.nan)
        self.inp = self.ap.copy()
        self.first_hits = np.zeros(self.ap.shape, np.int64)
        self.lists: Rankings | None = None
        self._is_unseen = np.zeros(n_gallery, np.bool_)  # all false between two queries
        self._positives, self._unseen, n_impostors = _all_of(matching, n_queries, n_gallery)
        self.n_positives = np.array([len(positives) for positives in self._positives])
        self._exact = _exact_positives(distances, self._positives)
        verification = Verification(wanted.false_positive_rates, n_impostors)
        self._run(wanted, verification)
        self.tpr_at_fpr = verification.true_positive_rates()

    def _run(self, wanted: Wanted, verification: Verification) -> None:
        n_queries, n_gallery = self._distances.shape
        counter = RankCounter(self._distances, self._tie_order)
        rows_per_block = max(1, wanted.memory_mib * 2**20 // (8 * n_gallery))
        top_k = min(wanted.top_k, n_gallery)
        for start in range(0, n_queries, rows_per_block):
            block = self._distances.block(start, min(start + rows_per_block, n_queries))
            counted: list[tuple[int, int, Ints]] = []  # (trial, query, ranks)
            for query, row in enumerate(block, start):
                positives, exact = self._positives[query], self._exact[query]
                unseen = self._unseen[query] if self._unseen else self._matching.of(query)[1]
                if top_k:
                    self._list(query, row, top_k, unseen)
                if wanted.false_positive_rates and self._matching.query_people[query] != UNKNOWN:
                    verification.add(row, np.concatenate([positives, unseen]), exact)
                if positives.size:
                    counted += self._count(counter, query, row, unseen)
            counter.settle()
            for trial, query, ranks in counted:
                self._reduce(trial, query, np.sort(ranks))

    def _count(
        self, counter: RankCounter, query: int, row: Reals, unseen: Ints
    ) -> list[tuple[int, int, Ints]]:
        """Ranks of the positives of one query in every repetition in which it has any."""
        positives, exact = self._positives[query], self._exact[query]
        counted = []
        whole: Ints | None = None
        for number, trial in enumerate(self._trials):
            if trial.is_everything:
                its, their, kept = positives, exact, None
            else:
                targets = trial.targets(query, positives)
                if not targets.size:
                    continue
                its, their = positives[targets], exact[targets]
                kept = trial.kept(positives, targets)
            if self._rules.cmc_over_persons:
                seen = np.ones(len(row), np.bool_) if kept is None else kept.copy()
                seen[unseen] = False
                people, order = self._matching.gallery_people, self._tie_order
                self.first_hits[number, query] = person_rank(
                    row, self._distances, query, its, their, seen, people, order
                )
            if not self._rules.whole_gallery_ap:
                ranks = counter.count(query, row, its, their, unseen, kept)
                counted.append((number, query, ranks))
                continue
            if whole is None:
                whole = counter.count(query, row, positives, exact, unseen)
            drawn = counter.count(query, row, its, their, unseen, kept)
            counted += [(number, query, whole), (number, query, drawn)]
        return counted

    def _reduce(self, trial: int, query: int, ranks: Ints) -> None:
        """Takes in the final ranks of one query, ascending; draws come after the whole gallery."""
        if np.isnan(self.ap[trial, query]):
            self.ap[trial, query] = average_precision(ranks, self._rules.trapezoidal)
            self.inp[trial, query] = len(ranks) / ranks[-1]
        if not self._rules.cmc_over_persons:
            self.first_hits[trial, query] = ranks[0]

    def _list(self, query: int, row: Reals, top_k: int, unseen: Ints) -> None:
        if self.lists is None:
            shape = (self._distances.shape[0], top_k)
            self.lists = Rankings(
                np.empty(shape, np.int64),
                np.empty(shape, row.dtype),
                np.zeros(shape, np.bool_),
                np.zeros(shape, np.bool_),
            )
        gallery, exact = nearest(row, top_k, self._distances, query, self._tie_order)
        self.lists.gallery[query], self.lists.distance[query] = gallery, exact
        person = self._matching.query_people[query]
        self._is_unseen[unseen] = True
        junk = self._is_unseen[gallery]
        self._is_unseen[unseen] = False
        match = (self._matching.gallery_people[gallery] == person) & (person != UNKNOWN)
        self.lists.is_junk[query], self.lists.is_match[query] = junk, match & ~junk

    def scores(self, max_rank: int, *, backward: bool = False) -> tuple[TrialScores, ...]:
        """Means of every repetition over its valid queries.

        Args:
            max_rank: Length of the CMC curves.
            backward: Whether gallery images asked for queries here.
        """
        parts = []
        for trial, ap, inp, first in zip(
            self._trials, self.ap, self.inp, self.first_hits, strict=True
        ):
            valid = first > 0
            mean_ap, mean_inp = (
                float(values[valid].mean()) if valid.any() else float("nan") for values in (ap, inp)
            )
            curve = _curve(first[valid], max_rank)
            n_valid = int(valid.sum())
            parts.append(TrialScores(trial.name, mean_ap, mean_inp, curve, n_valid, backward))
        return tuple(parts)


def average_precision(ranks: Ints, trapezoidal: bool) -> float:
    """AP of one query.

    Args:
        ranks: `(P,)` ranks of the positives from 1, ascending.
        trapezoidal: Average the precision at each hit with the precision just before it (1 before
            the first rank), as Market-1501's and Oxford's own scripts do.

    Returns:
        The AP, 0 to 1.

    Example:
        >>> average_precision(np.array([1, 4]), trapezoidal=False)
        0.75
        >>> average_precision(np.array([1, 4]), trapezoidal=True)
        0.7083333333333333
    """
    hits = np.arange(1, len(ranks) + 1)
    precision: NDArray[np.float64] = hits / ranks
    if trapezoidal:
        before = np.where(ranks > 1, (hits - 1) / np.maximum(ranks - 1, 1), 1.0)
        precision = (precision + before) / 2
    return float(precision.sum()) / len(ranks)


def _all_of(
    matching: Matching, n_queries: int, n_gallery: int
) -> tuple[list[Ints], list[Ints] | None, int]:
    """Positives and unseen images of every query, and the number of impostor pairs.

    Unseen images are None where they may be many and are better found again than kept. An impostor
    is a gallery image that a labelled query may see and that does not match it.
    """
    matches: list[Ints] = []
    hidden: list[Ints] = []
    n_impostors = 0
    for query in range(n_queries):
        positives, unseen = matching.of(query)
        matches.append(positives)
        if not matching.hides_strangers:
            hidden.append(unseen)
        if matching.query_people[query] != UNKNOWN:
            n_impostors += n_gallery - len(positives) - len(unseen)
    return matches, hidden or None, n_impostors


def _exact_positives(distances: DistanceSource, matches: list[Ints]) -> list[Reals]:
    """Exact distances of the positives, `(P,)` per query."""
    sizes = np.array([len(positives) for positives in matches])
    queries = np.repeat(np.arange(len(sizes)), sizes)
    return np.split(distances.exact(queries, np.concatenate(matches)), sizes.cumsum()[:-1])


def _curve(first_hits: Ints, max_rank: int) -> NDArray[np.float64]:
    """CMC of `(V,)` ranks of the nearest positive; NaN without a valid query."""
    if not first_hits.size:
        return np.full(max_rank, np.nan)
    counts = np.bincount(np.minimum(first_hits, max_rank + 1), minlength=max_rank + 2)
    curve: NDArray[np.float64] = counts[1 : max_rank + 1].cumsum() / first_hits.size
    return curve
