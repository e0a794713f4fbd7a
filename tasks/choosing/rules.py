"""Which chain to take, from each person's scores under every setting: the mildest that holds up.

Two rules, so that luck with few people is not taken for a gain. Of all settings within one standard
error of the best the mildest is taken (Breiman et al., CART, 1984, section 3.4.3), and a step stays
only where the 95 % interval of what it adds does not reach below 0. People are resampled, not
pictures: those of one person are hard or easy together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose2id.steps.chain import Chain

LEVEL = 0.95
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Candidate:
    """One setting.

    Attributes:
        chain: Its steps.
        eta: Strength of the drawings, 0 without the step `fuse`.
        k: k1 and k2, 0 without the step `nfc`.
        weight: That of the second network, 0 without the step `second_opinion`.
    """

    chain: Chain = ()
    eta: float = 0.0
    k: int = 0
    weight: float = 0.0

    @property
    def mildness(self) -> tuple[int, float, int, float, Chain]:
        """Sorts the mildest first: fewest steps, then the smallest eta, k and weight."""
        return len(self.chain), self.eta, self.k, self.weight, self.chain

    def without(self, step: str) -> Candidate:
        """The same setting with a step left out.

        >>> Candidate(("fuse", "nfc"), 2.0, 3).without("nfc")
        Candidate(chain=('fuse',), eta=2.0, k=0, weight=0.0)
        """
        chain = tuple(name for name in self.chain if name != step)
        return Candidate(
            chain,
            self.eta if "fuse" in chain else 0.0,
            self.k if "nfc" in chain else 0,
            self.weight if "second_opinion" in chain else 0.0,
        )


@dataclass(frozen=True)
class Gain:
    """What one setting has more than another, in mAP.

    Attributes:
        delta: Mean over people.
        low: Lower end of the 95 % interval.
        high: Upper end.
        error: Standard error of `delta`.
    """

    delta: float
    low: float
    high: float
    error: float


@dataclass(frozen=True)
class Verdict:
    """A choice.

    Attributes:
        chosen: The chosen setting.
        why: What became of each setting, in words.
    """

    chosen: Candidate
    why: Mapping[Candidate, str]


class Evidence:
    """Each person's score under every setting, and the same people resampled."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        per_person: NDArray[np.float64],
        n_resamples: int = 2000,
        seed: int = 0,
    ) -> None:
        """Takes the scores.

        Args:
            candidates: S settings. With every setting stand those that lack one of its steps.
            per_person: `(S, P)` mean AP of P people, at least two.
            n_resamples: Resamples of the people.
            seed: Same seed, same resamples.
        """
        self.candidates = tuple(candidates)
        self.means: NDArray[np.float64] = per_person.mean(axis=1)
        self._row = {candidate: row for row, candidate in enumerate(self.candidates)}
        n_people = per_person.shape[1]
        digest = hashlib.sha256(f"people/{seed}".encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:8], "little"))
        picks = generator.integers(0, n_people, (n_resamples, n_people))
        counts = np.stack([np.bincount(row, minlength=n_people) for row in picks])
        self._resampled = per_person @ (counts.T / n_people)  # (S, R)
        self._too_narrow, self._tails = _small_sample(n_people)

    def mean(self, candidate: Candidate) -> float:
        """The mean over people."""
        return float(self.means[self._row[candidate]])

    def gain(self, before: Candidate, after: Candidate) -> Gain:
        """What `after` has more than `before`; the interval is as wide as few people ask for."""
        old, new = self._row[before], self._row[after]
        delta = float(self.means[new] - self.means[old])
        spread = (self._resampled[new] - self._resampled[old] - delta) * self._too_narrow
        low, high = np.quantile(spread, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) * self._tails
        return Gain(delta, delta + float(low), delta + float(high), float(spread.std()))

    @property
    def best(self) -> Candidate:
        """The setting with the highest mean, the mildest of equals."""
        return self.best_of(self.candidates)

    def choose(self, among: Sequence[Candidate] | None = None) -> Verdict:
        """The mildest setting near the best, each of whose steps adds something beyond luck.

        Where there is none, the step of the mildest one that adds least for sure is not considered
        any more, and the choice is made anew without it.

        Args:
            among: The settings to choose from, None for all. A step that all of them have stays.
        """
        found = list(self.candidates if among is None else among)
        nothing = min(found, key=lambda candidate: candidate.mildness)
        why: dict[Candidate, str] = {}
        left = found
        while True:
            best = self.best_of(left)
            near = [c for c in left if self._within_one_error(c, best)]
            lows = {c: self._lows(c, nothing) for c in near}
            sure = [c for c in near if all(low >= 0 for low in lows[c].values())]
            chosen = min(sure or near, key=lambda candidate: candidate.mildness)
            if sure:
                break
            worst = min(lows[chosen], key=lambda step: lows[chosen][step])
            for candidate in (item for item in left if worst in item.chain):
                why[candidate] = f"what {worst} adds may be luck"
            left = [candidate for candidate in left if worst not in candidate.chain]
        for candidate in left:
            why[candidate] = (
                "not milder than the chosen one, which is within one standard error of the best"
                if candidate in near
                else "below the best by more than one standard error"
            )
        if self.gain(nothing, chosen).low < 0:
            why[chosen] = "what it adds to no step may be luck"
            chosen = nothing
        why[chosen] = "chosen"
        return Verdict(chosen, why)

    def _lows(self, candidate: Candidate, nothing: Candidate) -> dict[str, float]:
        """The lower end of what each free step of a setting adds to it."""
        free = [step for step in candidate.chain if step not in nothing.chain]
        return {step: self.gain(candidate.without(step), candidate).low for step in free}

    def best_of(self, among: Sequence[Candidate]) -> Candidate:
        """The best of some settings, the mildest of equals."""
        top = max(self.mean(candidate) for candidate in among)
        equal = [c for c in among if self.mean(c) >= top - _ROUNDING]
        return min(equal, key=lambda candidate: candidate.mildness)

    def _within_one_error(self, candidate: Candidate, best: Candidate) -> bool:
        gain = self.gain(candidate, best)
        return gain.delta <= gain.error + _ROUNDING


def _small_sample(n_people: int) -> tuple[float, float]:
    """By what the spread of resamples, and then its tails, are too small for so few people.

    Resamples spread by n, not n - 1, and percentiles know nothing of Student's t.

    Source: Hesterberg, "What Teachers Should Know About the Bootstrap", 2015, section 3.2.

    >>> [round(factor, 3) for factor in _small_sample(12)]
    [1.044, 1.123]
    """
    from scipy.stats import norm, t

    upper = (1 + LEVEL) / 2
    tails = t.ppf(upper, n_people - 1) / norm.ppf(upper)
    return (n_people / (n_people - 1)) ** 0.5, float(tails)
