"""Rough scores of all pairs, block by block, with a proven bound on their error."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pose2id.features import Floats
from pose2id.neighbors.shortlist import MEMBERS

_SECOND_ORDER = 1.02  # products of two small errors, which the bounds below leave out


@dataclass(frozen=True, slots=True)
class Side:
    """One operand of the product, centred, padded to whole blocks, and its error terms.

    Padding has `half_norms` of +inf, which makes every score with it -inf.
    """

    n: int
    block: int
    operand: Tensor  # (P, D) bfloat16 or float32
    half_norms: Tensor  # (P,) float32, |x|^2 / 2
    norms: Tensor  # (P,) float32, |x|
    rounding: Tensor  # (P,) float32, |x - operand|


def prepare(
    features: Floats, center: Floats, dtype: torch.dtype, block: int, device: torch.device
) -> Side:
    """Centres and rounds the features; distances do not change, errors shrink with the norms."""
    n, dim = features.shape
    n_blocks = -(-n // block)
    block = -(-n // (n_blocks * MEMBERS)) * MEMBERS  # even blocks: no tiny last one
    operand = torch.zeros((n_blocks * block, dim), dtype=dtype)
    norms, rounding = torch.zeros(len(operand)), torch.zeros(len(operand))
    for start in range(0, n, block):
        stop = min(start + block, n)
        centered = torch.from_numpy(features[start:stop] - center)
        operand[start:stop] = centered
        norms[start:stop] = centered.double().norm(dim=1)
        rounding[start:stop] = (centered - operand[start:stop].float()).norm(dim=1)
    half_norms = torch.full((len(operand),), torch.inf)
    half_norms[:n] = (norms[:n].double() ** 2 / 2).float()
    rounding *= 1 + 2.0**-10  # covers the rounding of this norm itself
    return Side(
        n, block, operand.to(device), half_norms.to(device), norms.to(device), rounding.to(device)
    )


class RoughScores:
    """Blocks of -|x - y|^2 / 2 with a bound on their error."""

    def __init__(self, left: Side, right: Side) -> None:
        self._left, self._right = left, right
        dim = left.operand.shape[1]
        largest_norm, largest_rounding = right.norms.max(), right.rounding.max()
        # |xy - x'y'| <= |x - x'||y| + |x'||y - y'|, plus a float32 sum of D products and norms.
        self._constant = _SECOND_ORDER * (
            left.rounding * largest_norm
            + (left.norms + left.rounding) * largest_rounding
            + (dim + 16) * 2.0**-24 * (left.norms**2 + largest_norm**2)
        )
        # A bfloat16 product also comes out in bfloat16: half a unit in the last of 8 bits.
        self._relative = _SECOND_ORDER * 2.0**-8 if left.operand.dtype == torch.bfloat16 else 0.0
        half = right.half_norms[: right.n]
        self._half_min, self._half_max = half.min(), half.max()
        shape, device = (left.block, right.block), left.operand.device
        self._scores = torch.empty(shape, device=device)
        self._product = self._scores
        if left.operand.dtype != torch.float32:
            self._product = torch.empty(shape, dtype=left.operand.dtype, device=device)

    def block(self, row: int, column: int) -> Tensor:
        """Scores `(B, C) float32` of the left rows from `row` with the right rows from `column`.

        The next call reuses the memory.
        """
        rows = slice(row, row + self._left.block)
        columns = slice(column, column + self._right.block)
        torch.mm(self._left.operand[rows], self._right.operand[columns].T, out=self._product)
        scores = self._scores.copy_(self._product)
        scores -= self._left.half_norms[rows, None]
        scores -= self._right.half_norms[columns]
        return scores

    def bound(self, rows: slice | Tensor, scores: Tensor) -> Tensor:
        """Bound for scores of `rows` at or above the given ones, see `Shortlist`."""
        own = self._left.half_norms[rows] + scores
        product = torch.maximum((own + self._half_max).abs(), (own + self._half_min).abs())
        return self._constant[rows] + self._relative * product

    def far_bound(self, rows: slice | Tensor, scores: Tensor) -> Tensor:
        """The bound for negated scores."""
        return self.bound(rows, -scores)
