"""The blocked product of `pose2id.neighbors.exact`, by torch: which pairs may be the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from pose2id.devices import product_device
from pose2id.neighbors.bounded_scores import RoughScores, prepare
from pose2id.neighbors.shortlist import Shortlist, by_columns, by_rows

if TYPE_CHECKING:
    from pose2id.neighbors.exact import Problem

_BYTES_PER_PAIR = 16  # of a block: scores, their bfloat16 form, the negated scores, peaks


def propose(problem: Problem, k: int, farthest: bool) -> tuple[Shortlist, Shortlist | None]:
    """Runs the blocked product once and keeps what may be nearest (and farthest)."""
    dtype, device, itself = problem.dtype(), product_device(problem.device), problem.itself
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
