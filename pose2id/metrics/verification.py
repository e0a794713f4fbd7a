"""Verification: true positive rates at fixed false positive rates over all kept pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

from pose2id.distances import Reals
from pose2id.errors import ParamsError
from pose2id.features import Ints

_MIN_BUFFER = 1_000_000  # distances that may pile up before the pool is cut back


class Verification:
    """Collects genuine distances and the smallest impostor distances, in bounded memory.

    A pair is accepted when its distance lies below a threshold. At a false positive rate f over I
    impostor pairs, floor(f * I) of them may be accepted: the threshold is the next impostor
    distance, and the true positive rate is the share of genuine pairs below it.
    """

    def __init__(self, rates: tuple[float, ...], n_impostors: int) -> None:
        """Starts empty.

        Args:
            rates: False positive rates, each between 0 and 1.
            n_impostors: Number of impostor pairs that will come.

        Raises:
            ParamsError: A rate out of range.
        """
        if any(not 0 <= rate < 1 for rate in rates):
            raise ParamsError(f"false positive rates are {rates}; allowed: 0 <= rate < 1.")
        self._allowed = {rate: int(rate * n_impostors) for rate in rates}
        self._capacity = max(self._allowed.values(), default=-1) + 1
        self._genuine: list[Reals] = []
        self._pool: list[Reals] = []
        self._pooled = 0
        self._limit: float | np.floating[Any] = float(np.inf)

    def add(self, row: Reals, same_person: Ints, genuine: Reals) -> None:
        """Takes in one query.

        Args:
            row: `(G,)` the query's distances.
            same_person: Positives and junk, which are no impostors.
            genuine: Exact distances of the positives.
        """
        if not self._capacity:
            return
        self._genuine.append(genuine)
        near = row <= self._limit
        near[same_person] = False
        self._pool.append(row[near])
        self._pooled += len(self._pool[-1])
        if self._pooled > 2 * self._capacity + _MIN_BUFFER:
            self._cut()

    def true_positive_rates(self) -> dict[float, float]:
        """True positive rate at each false positive rate; NaN without genuine pairs."""
        if not self._capacity or not self._genuine:
            return dict.fromkeys(self._allowed, float("nan"))
        impostors, genuine = np.sort(np.concatenate(self._pool)), np.concatenate(self._genuine)
        rates = {}
        for rate, allowed in self._allowed.items():
            threshold = impostors[allowed] if allowed < len(impostors) else np.inf
            rates[rate] = float(np.mean(genuine < threshold)) if genuine.size else float("nan")
        return rates

    def _cut(self) -> None:
        smallest = np.partition(np.concatenate(self._pool), self._capacity - 1)[: self._capacity]
        self._pool, self._pooled, self._limit = [smallest], self._capacity, smallest.max()
