"""Ranks of chosen gallery images in one query's row of distances, without sorting the row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pose2id.distances import DistanceSource, Floats, Ints


def ranks_of(
    targets: Ints,
    exact: Floats,
    row: Floats,
    kept: NDArray[np.bool_] | None,
    left_out: Ints,
    distances: DistanceSource,
    query: int,
) -> Ints:
    """Ranks from 1 of gallery images among those that count, ties to the lower index.

    Only distances up to the farthest target are looked at: they are sorted as plain numbers and the
    targets are counted into them. Where others lie within the source's tolerance of a target, exact
    distances decide.

    Args:
        targets: `(P,)` gallery indices, all of them counted.
        exact: `(P,)` their exact distances.
        row: `(G,)` the query's distances, each within the source's tolerance.
        kept: `(G,) bool`, images that count; None = all.
        left_out: Further images that do not count.
        distances: Source of exact distances.
        query: Index of the query.

    Returns:
        `(P,) int64` in the order of `targets`.
    """
    tolerance = distances.tolerance[query]
    counted = row <= exact.max() + tolerance
    counted[left_out] = False
    if kept is not None:
        counted &= kept
    indices = counted.nonzero()[0]
    values = row[indices]
    nearer = np.sort(values)
    low, high = exact - tolerance, exact + tolerance
    before = nearer.searchsorted(low, side="left")
    close = nearer.searchsorted(high, side="right") - before
    ranks: Ints = before + 1
    unclear = (close > 1).nonzero()[0]
    if unclear.size:
        order = indices[values.argsort()]
        sizes = close[unclear]
        starts = sizes.cumsum() - sizes
        slots = np.arange(sizes.sum()) + np.repeat(before[unclear] - starts, sizes)
        rivals = order[slots]
        their = distances.exact(np.full(len(rivals), query), rivals)
        own, index = np.repeat(exact[unclear], sizes), np.repeat(targets[unclear], sizes)
        first = (their < own) | ((their == own) & (rivals < index))
        ranks[unclear] += np.add.reduceat(first, starts, dtype=np.int64)
    return ranks


def nearest(row: Floats, k: int, distances: DistanceSource, query: int) -> tuple[Ints, Floats]:
    """The k nearest gallery images of one query, nearest first, ties to the lower index.

    Args:
        row: `(G,)` the query's distances, each within the source's tolerance.
        k: How many, at most G.
        distances: Source of exact distances.
        query: Index of the query.

    Returns:
        `(k,)` gallery indices and their exact distances.
    """
    kth = np.partition(row, k - 1)[k - 1]
    close = np.flatnonzero(row <= kth + 2 * distances.tolerance[query])
    exact = distances.exact(np.full(len(close), query), close)
    order = np.lexsort((close, exact))[:k]
    return close[order], exact[order]
