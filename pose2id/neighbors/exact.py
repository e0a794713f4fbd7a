"""Exact k nearest neighbours: a low-precision matrix product proposes, exact distances decide.

The product runs in bfloat16 where the processor multiplies it natively, else in float32, block by
block; without separate queries each block serves its rows and its columns, which halves the work.
A small set is looked through by numpy, which needs no torch. Every pair whose rough distance could
belong to the answer is then measured exactly, so the outcome does not depend on the way, precision,
block size, thread count or device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pose2id.distances import are_small, full_float32, pair_sq_distances
from pose2id.features import Floats, Ints
from pose2id.neighbors.table import merge_candidates

if TYPE_CHECKING:
    import torch

    from pose2id.neighbors.shortlist import Shortlist

_BF16_MIN_ROWS = 4096  # below, blocks are too small for bfloat16 to pay
_ROWS_PER_MEASURE = 16384


@dataclass(frozen=True, slots=True)
class Problem:
    """What is searched: neighbours of each row of `source` among the rows of `features`.

    Attributes:
        source: `(Q, D) float32`.
        features: `(N, D) float32`.
        itself: Source and features are the same rows and a row is no neighbour of its own.
        memory_mib: Bound on working memory.
        device: Where the matrix products are computed, see `pose2id.devices.product_device`.
    """

    source: Floats
    features: Floats
    itself: bool
    memory_mib: int
    device: str

    def dtype(self) -> torch.dtype:
        """Precision of the proposing product."""
        import torch

        from pose2id.devices import product_device

        on_cpu = product_device(self.device).type == "cpu"
        native = on_cpu and torch.cpu._is_avx512_bf16_supported()
        large = min(len(self.source), len(self.features)) >= _BF16_MIN_ROWS
        return torch.bfloat16 if native and large else torch.float32


def neighbors_of_other_groups(
    problem: Problem, rows: Ints, k: int, groups: Ints
) -> tuple[Ints, Floats]:
    """Exact neighbours of some rows among those of other groups than their own.

    Args:
        problem: A search within one set.
        rows: `(R,)` the rows that are wanted.
        k: Neighbours per row.
        groups: `(N,)` the group of each row of the set.

    Returns:
        `(R, k)` ids and squared distances; -1 and infinity where there are fewer than k.
    """
    ids = np.full((len(rows), k), -1, np.int64)
    sq_distances = np.full((len(rows), k), np.inf, np.float32)
    for group in np.unique(groups[rows]):
        mine, others = groups[rows] == group, np.flatnonzero(groups != group)
        n = min(k, len(others))
        if n:
            source, features = problem.features[rows[mine]], problem.features[others]
            part = replace(problem, source=source, features=features, itself=False)
            found, distances, _ = exact_neighbors(part, n, farthest=False)
            ids[mine, :n], sq_distances[mine, :n] = others[found], distances
    return ids, sq_distances


def exact_neighbors(problem: Problem, k: int, farthest: bool) -> tuple[Ints, Floats, Floats | None]:
    """Exact neighbours of every row of the problem's source.

    Args:
        problem: What is searched.
        k: Neighbours per row, at most as many as there are.
        farthest: Also find the largest distance of each row; only within one set.

    Returns:
        ids `(Q, k) int64`, squared distances `(Q, k) float32`, and each row's largest squared
        distance `(Q,) float32` or None.
    """
    near, far = None, None
    if not are_small(len(problem.source), len(problem.features)):
        from pose2id.neighbors.proposals import propose

        with full_float32():
            near, far = propose(problem, k, farthest)
    q = len(problem.source)
    ids, sq_distances = np.empty((q, k), np.int64), np.empty((q, k), np.float32)
    for chunk, rows, candidates in _candidates(problem, near, k, largest=False):
        exact = pair_sq_distances(problem.source, problem.features, chunk[rows], candidates)
        ids[chunk], sq_distances[chunk] = merge_candidates(rows, candidates, exact, len(chunk), k)
    if not farthest:
        return ids, sq_distances, None
    maxima = np.zeros(q, np.float32)
    for chunk, rows, candidates in _candidates(problem, far, 1, largest=True):
        exact = pair_sq_distances(problem.source, problem.features, chunk[rows], candidates)
        np.maximum.at(maxima, chunk[rows], exact)
    return ids, sq_distances, maxima


def _candidates(
    problem: Problem, shortlist: Shortlist | None, k: int, largest: bool
) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Everything that must be measured, as (chunk, rows, candidates).

    `chunk` numbers rows of the source, `rows` numbers rows of the chunk ascending; each row of the
    source is in one chunk.
    """
    unsure = np.arange(len(problem.source))
    if shortlist is not None:
        settled = shortlist.settled()[: len(problem.source)].cpu().numpy()
        sure, unsure = np.flatnonzero(settled), np.flatnonzero(~settled)
        for start in range(0, len(sure), _ROWS_PER_MEASURE):
            chunk = sure[start : start + _ROWS_PER_MEASURE]
            yield chunk, *shortlist.candidates(chunk)
    step = max(1, min(1024, problem.memory_mib * 2**20 // (40 * len(problem.features))))
    for start in range(0, len(unsure), step):
        chunk = unsure[start : start + step]
        yield chunk, *_scan(problem, chunk, k, largest)


def _scan(problem: Problem, chunk: Ints, k: int, largest: bool) -> tuple[Ints, Ints]:
    """All pairs of a few rows that may matter, by float32 scores against every feature."""
    n, dim = problem.features.shape
    center = problem.features.mean(axis=0)
    own = problem.source[chunk] - center
    own_norms = np.einsum("nd,nd->n", own, own)
    fast = np.empty((len(chunk), n), np.float32)
    largest_norm = np.float32(0)
    for start in range(0, n, _ROWS_PER_MEASURE):
        part = problem.features[start : start + _ROWS_PER_MEASURE] - center
        norms = np.einsum("nd,nd->n", part, part)
        largest_norm = np.maximum(largest_norm, norms.max())
        scores = 2 * own @ part.T
        scores -= norms
        scores -= own_norms[:, None]
        fast[:, start : start + _ROWS_PER_MEASURE] = -scores if largest else scores
    if problem.itself:
        fast[np.arange(len(chunk)), chunk] = -np.inf
    kth = np.partition(fast, n - k, axis=1)[:, n - k]
    error = (dim + 16) * 2.0**-24 * 2 * (own_norms + largest_norm)
    rows, candidates = np.nonzero(fast >= (kth - 2 * error)[:, None])
    return rows, candidates
