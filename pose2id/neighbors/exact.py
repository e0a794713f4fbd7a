"""Exact k nearest neighbours: a low-precision matrix product proposes, exact distances decide.

The product runs in bfloat16 where the processor multiplies it natively, else in float32, block by
block; without separate queries each block serves its rows and its columns, which halves the work.
Every pair whose rough distance could belong to the answer is then measured exactly, so the outcome
does not depend on precision, block size, thread count or device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from pose2id.distances import full_float32, pair_sq_distances
from pose2id.features import Floats, Ints
from pose2id.neighbors.bounded_scores import RoughScores, prepare
from pose2id.neighbors.shortlist import Shortlist, by_columns, by_rows
from pose2id.neighbors.table import merge_candidates

_BF16_MIN_ROWS = 4096  # below, blocks are too small for bfloat16 to pay
_BYTES_PER_PAIR = 16  # of a block: scores, their bfloat16 form, the negated scores, peaks
_ROWS_PER_MEASURE = 16384


@dataclass(frozen=True, slots=True)
class Problem:
    """What is searched: neighbours of each row of `source` among the rows of `features`.

    Attributes:
        source: `(Q, D) float32`.
        features: `(N, D) float32`.
        itself: Source and features are the same rows and a row is no neighbour of its own.
        memory_mib: Bound on working memory.
        device: Torch device of the matrix products.
    """

    source: Floats
    features: Floats
    itself: bool
    memory_mib: int
    device: torch.device

    def dtype(self) -> torch.dtype:
        """Precision of the proposing product."""
        native = self.device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
        large = min(len(self.source), len(self.features)) >= _BF16_MIN_ROWS
        return torch.bfloat16 if native and large else torch.float32


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
    with full_float32():
        near, far = _propose(problem, k, farthest)
    q = len(problem.source)
    ids, sq_distances = np.empty((q, k), np.int64), np.empty((q, k), np.float32)
    for chunk, rows, candidates in _candidates(problem, near, k, largest=False):
        exact = pair_sq_distances(problem.source, problem.features, chunk[rows], candidates)
        ids[chunk], sq_distances[chunk] = merge_candidates(rows, candidates, exact, len(chunk), k)
    if far is None:
        return ids, sq_distances, None
    maxima = np.zeros(q, np.float32)
    for chunk, rows, candidates in _candidates(problem, far, 1, largest=True):
        exact = pair_sq_distances(problem.source, problem.features, chunk[rows], candidates)
        np.maximum.at(maxima, chunk[rows], exact)
    return ids, sq_distances, maxima


def _propose(problem: Problem, k: int, farthest: bool) -> tuple[Shortlist, Shortlist | None]:
    """Runs the blocked product once and keeps what may be nearest (and farthest)."""
    dtype, device, itself = problem.dtype(), problem.device, problem.itself
    block = int(np.clip((problem.memory_mib * 2**20 // _BYTES_PER_PAIR) ** 0.5, 64, 2048))
    center = problem.features.mean(axis=0, dtype=np.float64).astype(np.float32)
    right = prepare(problem.features, center, dtype, block, device)
    left = right if itself else prepare(problem.source, center, dtype, block, device)
    rough = RoughScores(left, right)
    padded = len(left.operand)
    near = Shortlist(left.n, padded, k, 2 * k + 12, rough.bound, device)
    far = Shortlist(left.n, padded, 1, 12, rough.far_bound, device) if farthest else None
    for row in range(0, left.n, left.block):
        for column in range(row if itself else 0, right.n, right.block):
            scores = rough.block(row, column)
            if itself and row == column:
                scores.fill_diagonal_(-torch.inf)
            near.offer(row, by_rows(scores), column)
            if itself and row != column:
                near.offer(column, by_columns(scores), row)
            if far is not None:
                scores.neg_()
                if row == column:
                    scores.fill_diagonal_(-torch.inf)
                scores[left.n - row :] = -torch.inf  # padding
                scores[:, right.n - column :] = -torch.inf
                far.offer(row, by_rows(scores), column)
                if row != column:
                    far.offer(column, by_columns(scores), row)
    return near, far


def _candidates(
    problem: Problem, shortlist: Shortlist, k: int, largest: bool
) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Everything that must be measured, as (chunk, rows, candidates).

    `chunk` numbers rows of the source, `rows` numbers rows of the chunk ascending; each row of the
    source is in one chunk.
    """
    settled = shortlist.settled()[: len(problem.source)].cpu().numpy()
    sure = np.flatnonzero(settled)
    for start in range(0, len(sure), _ROWS_PER_MEASURE):
        chunk = sure[start : start + _ROWS_PER_MEASURE]
        index = torch.from_numpy(chunk).to(problem.device)
        keep = shortlist.values[index] >= shortlist.limit[index, None]
        rows, slots = keep.nonzero(as_tuple=True)
        candidates = shortlist.ids[index][rows, slots]
        yield chunk, rows.cpu().numpy(), candidates.cpu().numpy().astype(np.int64)
    unsure = np.flatnonzero(~settled)
    step = max(1, min(1024, problem.memory_mib * 2**20 // (40 * len(problem.features))))
    for start in range(0, len(unsure), step):
        chunk = unsure[start : start + step]
        yield chunk, *_scan(problem, chunk, k, largest)


def _scan(problem: Problem, chunk: Ints, k: int, largest: bool) -> tuple[Ints, Ints]:
    """All pairs of a few rows that may matter, by float32 scores against every feature."""
    n, dim = problem.features.shape
    center = torch.from_numpy(problem.features.mean(axis=0))
    own = torch.from_numpy(problem.source[chunk]) - center
    own_norms = own.square().sum(dim=1)
    fast = torch.empty((len(chunk), n))
    largest_norm = torch.zeros(())
    for start in range(0, n, _ROWS_PER_MEASURE):
        part = torch.from_numpy(problem.features[start : start + _ROWS_PER_MEASURE]) - center
        norms = part.square().sum(dim=1)
        largest_norm = torch.maximum(largest_norm, norms.max())
        with full_float32():
            scores = torch.addmm(-norms, own, part.T, alpha=2.0)
        scores -= own_norms[:, None]
        fast[:, start : start + _ROWS_PER_MEASURE] = -scores if largest else scores
    if problem.itself:
        fast[torch.arange(len(chunk)), torch.from_numpy(chunk)] = -torch.inf
    kth = fast.topk(k, dim=1).values[:, -1]
    error = (dim + 16) * 2.0**-24 * 2 * (own_norms + largest_norm)
    rows, candidates = (fast >= (kth - 2 * error)[:, None]).nonzero(as_tuple=True)
    return rows.numpy(), candidates.numpy()
