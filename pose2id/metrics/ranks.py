"""Ranks of chosen gallery images in a query's row of distances, without sorting the row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose2id.distances import DistanceSource, Reals
from pose2id.features import Ints
from pose2id.labels import UNKNOWN


class RankCounter:
    """Counts ranks without sorting, first for many queries, then exactly where that left it open.

    Only distances up to a query's farthest target are looked at: they are sorted as plain numbers
    and the targets are counted into them. Where others lie within the source's tolerance of a
    target, exact distances decide; they are measured for all queries at once.
    """

    def __init__(self, distances: DistanceSource, tie_order: Ints | None = None) -> None:
        """Begins with no query.

        Args:
            distances: Source of exact distances.
            tie_order: `(G,)` the order of gallery images at equal distances; None = by index.
        """
        self._distances = distances
        self._tie_order = tie_order
        self._undecided: list[_Undecided] = []

    def count(
        self,
        query: int,
        row: Reals,
        targets: Ints,
        exact: Reals,
        left_out: Ints,
        kept: NDArray[np.bool_] | None = None,
    ) -> Ints:
        """Ranks from 1 of gallery images among those that count, ties by the tie order.

        Args:
            query: Index of the query; later calls never have a smaller one.
            row: `(G,)` the query's distances, each within the source's tolerance.
            targets: `(P,)` gallery indices, all of them counted.
            exact: `(P,)` their exact distances.
            left_out: Further images that do not count.
            kept: `(G,) bool`, images that count; None = all.

        Returns:
            `(P,) int64` in the order of `targets`; final once `settle` was called.
        """
        tolerance = self._distances.tolerance[query]
        counted = row <= exact.max() + tolerance
        counted[left_out] = False
        if kept is not None:
            counted &= kept
        indices = counted.nonzero()[0]
        values = row[indices]
        nearer = np.sort(values)
        before = nearer.searchsorted(exact - tolerance, side="left")
        close = nearer.searchsorted(exact + tolerance, side="right") - before
        ranks: Ints = before + 1
        unclear = (close > 1).nonzero()[0]
        if unclear.size:
            order = indices[values.argsort()]
            sizes = close[unclear]
            starts = sizes.cumsum() - sizes
            slots = np.arange(sizes.sum()) + np.repeat(before[unclear] - starts, sizes)
            self._undecided.append(
                _Undecided(
                    query, ranks, unclear, targets[unclear], exact[unclear], sizes, order[slots]
                )
            )
        return ranks

    def settle(self) -> None:
        """Makes all ranks final that were returned since the last call."""
        if not self._undecided:
            return
        rivals = np.concatenate([one.rivals for one in self._undecided])
        n_rivals = [len(one.rivals) for one in self._undecided]
        queries = np.repeat([one.query for one in self._undecided], n_rivals)
        their = self._distances.exact(queries, rivals)
        sizes = np.concatenate([one.sizes for one in self._undecided])
        own = np.repeat(np.concatenate([one.exact for one in self._undecided]), sizes)
        index = np.repeat(np.concatenate([one.targets for one in self._undecided]), sizes)
        if self._tie_order is not None:
            rivals, index = self._tie_order[rivals], self._tie_order[index]
        first = (their < own) | ((their == own) & (rivals < index))
        ahead = np.add.reduceat(first, sizes.cumsum() - sizes, dtype=np.int64)
        start = 0
        for one in self._undecided:
            stop = start + len(one.sizes)
            one.ranks[one.unclear] += ahead[start:stop]
            start = stop
        self._undecided.clear()


@dataclass(frozen=True, slots=True)
class _Undecided:
    """Targets of one query that have rivals within the tolerance.

    Attributes:
        query: Index of the query.
        ranks: `(P,)` ranks as if every rival came after its target; completed in place.
        unclear: `(U,)` places in `ranks` of the targets that have rivals.
        targets: `(U,)` their gallery indices.
        exact: `(U,)` their exact distances.
        sizes: `(U,)` their numbers of rivals, the target itself among them.
        rivals: `(sum of sizes,)` gallery indices.
    """

    query: int
    ranks: Ints
    unclear: Ints
    targets: Ints
    exact: Reals
    sizes: Ints
    rivals: Ints


def nearest(
    row: Reals, k: int, distances: DistanceSource, query: int, tie_order: Ints | None = None
) -> tuple[Ints, Reals]:
    """The k nearest gallery images of one query, nearest first.

    Args:
        row: `(G,)` the query's distances, each within the source's tolerance.
        k: How many, at most G.
        distances: Source of exact distances.
        query: Index of the query.
        tie_order: `(G,)` the order of gallery images at equal distances; None = by index.

    Returns:
        `(k,)` gallery indices and their exact distances.
    """
    kth = np.partition(row, k - 1)[k - 1]
    close = np.flatnonzero(row <= kth + 2 * distances.tolerance[query])
    exact = distances.exact(np.full(len(close), query), close)
    order = np.lexsort((close if tie_order is None else tie_order[close], exact))[:k]
    return close[order], exact[order]


def person_rank(
    row: Reals,
    distances: DistanceSource,
    query: int,
    targets: Ints,
    exact: Reals,
    counted: NDArray[np.bool_],
    people: Ints,
    tie_order: Ints | None = None,
) -> int:
    """Rank from 1 of the query's person among persons, each at the place of its nearest image.

    Images of nobody in particular (-1) count as a person each.

    Args:
        row: `(G,)` the query's distances, each within the source's tolerance.
        distances: Source of exact distances.
        query: Index of the query.
        targets: `(P,)` the positives that count.
        exact: `(P,)` their exact distances.
        counted: `(G,) bool`, images that count.
        people: `(G,)` person of each image, -1 = nobody.
        tie_order: `(G,)` the order of gallery images at equal distances; None = by index.
    """
    places = np.arange(len(people)) if tie_order is None else tie_order
    first = np.lexsort((places[targets], exact))[0]
    limit, place, tolerance = exact[first], places[targets[first]], distances.tolerance[query]
    rivals = (counted & (row <= limit + tolerance)).nonzero()[0]
    unclear = row[rivals] >= limit - tolerance
    ahead, close = rivals[~unclear], rivals[unclear]
    their = distances.exact(np.full(len(close), query), close)
    nearer = (their < limit) | ((their == limit) & (places[close] < place))
    names = people[np.concatenate([ahead, close[nearer]])]
    known = names[names != UNKNOWN]
    return 1 + len(np.unique(known)) + len(names) - len(known)
