"""Candidates for the nearest (or farthest) rows, gathered from blocks of rough scores.

A rough score may be off by a known bound. So besides the best k, every score that could still
belong to the true best k is kept, up to a fixed width; what had to be dropped is remembered as the
best dropped score, and a row is settled when that score lies below what matters.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from pose2id.features import Ints

MEMBERS = 16  # columns per group of the first pass; blocks are multiples of it
_FLOOR = -3.0e38  # below every finite score, above the -inf of excluded pairs

# (rows, scores) -> bound on |rough - true| for scores at or above the given one; both (R,)
Bound = Callable[[slice | Tensor, Tensor], Tensor]


Block = tuple[Tensor, Tensor]  # scores (R, MEMBERS, groups) and the best of each group (R, groups)


def by_rows(scores: Tensor) -> Block:
    """Groups the columns of scores `(R, C)`: column = member * (C / MEMBERS) + group."""
    view = scores.view(scores.shape[0], MEMBERS, -1)
    return view, view.amax(dim=1)


def by_columns(scores: Tensor) -> Block:
    """The same for the transpose, without copying it; rows are grouped."""
    view = scores.view(MEMBERS, -1, scores.shape[1])
    return view.permute(2, 0, 1), view.amax(dim=0).T


class Shortlist:
    """The `width` highest rough scores of each row, sorted, with the guarantee described above."""

    def __init__(
        self, n: int, padded: int, k: int, width: int, bound: Bound, device: torch.device
    ) -> None:
        """Starts empty.

        Args:
            n: Number of rows.
            padded: Number of rows including padding, whose scores are ignored.
            k: Scores that the caller wants settled.
            width: Scores kept per row, at least k.
            bound: Error bound of the rough scores.
            device: Where scores live.
        """
        self._k, self._bound = k, bound
        self.values = torch.full((padded, width), -torch.inf, device=device)
        self.ids = torch.full((padded, width), -1, dtype=torch.int32, device=device)
        self.limit = torch.full((padded,), _FLOOR, device=device)
        self.limit[n:] = torch.inf
        self._dropped = torch.full((padded,), -torch.inf, device=device)

    def settled(self) -> Tensor:
        """`(padded,) bool`, rows whose kept scores at or above `limit` include the true best k."""
        return self._dropped < self.limit

    def candidates(self, rows: Ints) -> tuple[Ints, Ints]:
        """What must be measured of some settled rows.

        Args:
            rows: `(R,)` the rows.

        Returns:
            `(P,)` places in `rows`, ascending, and the `(P,)` ids that belong to them.
        """
        index = torch.from_numpy(rows).to(self.values.device)
        keep = self.values[index] >= self.limit[index, None]
        places, slots = keep.nonzero(as_tuple=True)
        ids = self.ids[index][places, slots]
        return places.cpu().numpy(), ids.cpu().numpy().astype(np.int64)

    def offer(self, first_row: int, block: Block, first_column: int) -> None:
        """Takes in one block.

        Args:
            first_row: Row of the block's first row.
            block: Scores, grouped; -inf leaves a pair out.
            first_column: Id of the block's first column.
        """
        scores, peaks = block
        rows = slice(first_row, first_row + scores.shape[0])
        limit = self.limit[rows]
        if self._k <= peaks.shape[1] and bool((limit == _FLOOR).any()):
            # Nothing is known yet; the k-th best group already holds k scores.
            kth = peaks.topk(self._k, dim=1).values[:, -1]
            first = kth - 2 * self._bound(rows, kth)
            limit = torch.maximum(limit, torch.where(kth == -torch.inf, _FLOOR, first))
        # One cheap pass over the peaks rules out nearly everything.
        row, group = (peaks >= limit[:, None]).nonzero(as_tuple=True)
        values = scores[row, :, group]  # (P, MEMBERS)
        hit, member = (values >= limit[row, None]).nonzero(as_tuple=True)
        columns = first_column + member * scores.shape[2] + group[hit]
        self._merge(first_row, row[hit], values[hit, member], columns.int())

    def _merge(self, first_row: int, row: Tensor, values: Tensor, columns: Tensor) -> None:
        """Adds hits, listed by ascending row, to the rows that they belong to."""
        if not len(row):
            return
        counts = row.bincount()
        touched = counts.nonzero()[:, 0]
        counts = counts[touched]
        starts = counts.cumsum(0) - counts
        slot = torch.arange(len(row), device=row.device) - starts.repeat_interleave(counts)
        line = torch.arange(len(touched), device=row.device).repeat_interleave(counts)
        shape = (len(touched), int(counts.max()))
        new_values = torch.full(shape, -torch.inf, device=row.device)
        new_ids = torch.full(shape, -1, dtype=torch.int32, device=row.device)
        new_values[line, slot], new_ids[line, slot] = values, columns
        rows = touched + first_row
        self._keep(
            rows,
            torch.cat([self.values[rows], new_values], dim=1),
            torch.cat([self.ids[rows], new_ids], dim=1),
        )

    def _keep(self, rows: slice | Tensor, values: Tensor, ids: Tensor) -> None:
        width = self.values.shape[1]
        best, order = values.topk(min(width + 1, values.shape[1]), dim=1)
        self.values[rows] = best[:, :width]
        self.ids[rows] = ids.gather(1, order[:, :width])
        if best.shape[1] > width:
            self._dropped[rows] = torch.maximum(self._dropped[rows], best[:, width])
        kth = best[:, self._k - 1]
        limit = kth - 2 * self._bound(rows, kth)
        self.limit[rows] = torch.where(kth == -torch.inf, self.limit[rows], limit)
