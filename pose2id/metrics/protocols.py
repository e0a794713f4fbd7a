"""What the protocols make of a query's ranks, and the draws of the single-gallery-shot protocol."""

from __future__ import annotations

import hashlib
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pose2id.errors import ParamsError
from pose2id.features import Floats, Ints
from pose2id.metrics.labels import UNKNOWN, Labels
from pose2id.metrics.ranks import RankCounter

Protocol = Literal["market", "trapezoidal", "single_gallery_shot"]


def check_protocol(protocol: str, n_draws: int) -> None:
    """Raises ParamsError for an unknown protocol or less than one draw."""
    if protocol not in get_args(Protocol):
        raise ParamsError(f"protocol is {protocol!r}; allowed: {', '.join(get_args(Protocol))}.")
    if n_draws < 1:
        raise ParamsError(f"n_draws is {n_draws}; it must be at least 1.")


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


class SingleShotDraws:
    """Repeated draws of one gallery image per identity; the query's own comes from its positives.

    Distractors and unlabelled images belong to no identity and stay in every draw. A draw depends
    on the seed, its number and the gallery's order alone.
    """

    def __init__(self, labels: Labels, n_draws: int, seed: int) -> None:
        """Draws once per identity and draw.

        Args:
            labels: Labels of both sides.
            n_draws: Number of draws.
            seed: Seed of the draws.
        """
        pids = labels.gallery_pids
        self._pids = pids
        self._keys = np.stack([_keys(seed, draw, len(pids)) for draw in range(n_draws)])
        self._kept = np.repeat((pids == UNKNOWN)[None], n_draws, axis=0)
        for keys, kept in zip(self._keys, self._kept, strict=True):
            order = np.lexsort((keys, pids))
            first = np.flatnonzero(np.diff(pids[order], prepend=UNKNOWN - 1))
            kept[order[first]] = True

    def count(
        self,
        counter: RankCounter,
        query: int,
        row: Floats,
        positives: Ints,
        exact: Floats,
        junk: Ints,
    ) -> list[Ints]:
        """Rank from 1 of the drawn positive in each draw, each `(1,)`; see `RankCounter.count`."""
        same = np.concatenate([positives, junk])
        ranks = []
        for keys, drawn in zip(self._keys, self._kept, strict=True):
            pick = int(np.argmin(keys[positives]))
            kept = drawn.copy()
            kept[same] = False
            kept[positives[pick]] = True
            target = slice(pick, pick + 1)
            ranks.append(counter.count(query, row, positives[target], exact[target], junk, kept))
        return ranks


def _keys(seed: int, draw: int, n: int) -> NDArray[np.float64]:
    digest = hashlib.sha256(f"single_gallery_shot/{seed}/{draw}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little")).random(n)
