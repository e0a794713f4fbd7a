"""Chains of steps: by name, checked, and run so that chains share what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pose2id.errors import ParamsError
from pose2id.features import l2_normalize
from pose2id.steps.base import (
    FeatureSet,
    FindNeighbors,
    ScoringStep,
    Step,
    Surroundings,
    fresh_neighbors,
)
from pose2id.steps.registry import SCORING_STEPS, STEPS

Chain = tuple[str, ...]
_Bound = tuple[tuple[str, Any], ...]  # steps with their parameters
ALL_STEPS: dict[str, Step[Any] | ScoringStep[Any]] = {**STEPS, **SCORING_STEPS}


def check_chain(name: str, chain: Sequence[str]) -> Chain:
    """A chain as a tuple, if all its steps exist and a scoring step only ends it.

    Args:
        name: What the message calls the chain.
        chain: Names of steps.

    Raises:
        ParamsError: Unknown step, a scoring step before the end, or `second_opinion` before `fuse`.

    Example:
        >>> check_chain("both", ["fuse", "nfc"])
        ('fuse', 'nfc')
    """
    for step in chain:
        if step not in ALL_STEPS:
            raise ParamsError(
                f"the variant {name!r} has an unknown step {step!r}; the steps are "
                f"{', '.join(ALL_STEPS)}"
            )
    if "fuse" in chain and "second_opinion" in chain[: list(chain).index("fuse")]:
        raise ParamsError(
            f"the variant {name!r} has second_opinion before fuse; drawings have no feature of the "
            "second network, so fuse comes first"
        )
    early = [step for step in chain[:-1] if step in SCORING_STEPS]
    if early:
        raise ParamsError(
            f"the variant {name!r} has {early[0]!r} before its end; it works on distances, so "
            "nothing can follow it"
        )
    return tuple(chain)


def feature_chain(chain: Sequence[str]) -> Chain:
    """The steps of a chain that work on features.

    >>> feature_chain(("fuse", "rerank"))
    ('fuse',)
    """
    return tuple(step for step in chain if step in STEPS)


def scoring_step(chain: Sequence[str]) -> str | None:
    """The step of a chain that works on distances, if it has one.

    >>> scoring_step(("fuse", "rerank"))
    'rerank'
    """
    return chain[-1] if chain and chain[-1] in SCORING_STEPS else None


def describe(chain: Sequence[str]) -> str:
    """What a chain does, in words.

    >>> describe(["nfc", "rerank"])
    'centralized with its mutual nearest neighbours, then k-reciprocal re-ranking'
    """
    if not feature_chain(chain):
        return ", ".join(["the picture's own feature", *(ALL_STEPS[step].words for step in chain)])
    return ", ".join(ALL_STEPS[step].words for step in chain)


def is_transductive(chain: Sequence[str]) -> bool:
    """Whether what a chain gives for an image depends on the other images.

    >>> is_transductive(["fuse"]), is_transductive(["fuse", "nfc"])
    (False, True)
    """
    return any(ALL_STEPS[step].transductive for step in chain)


class ChainRunner:
    """Runs chains over the splits of a project; what two chains begin with is done once."""

    def __init__(
        self,
        load: Callable[[str], FeatureSet],
        params: Mapping[str, Any],
        references: Mapping[str, str],
        find_neighbors: Callable[[str, Chain], FindNeighbors] = lambda split, done: fresh_neighbors,
    ) -> None:
        """Takes what steps need.

        Args:
            load: Gives the raw features of a split, with cameras and drawings.
            params: Step name -> its parameters; a step that is not named takes its defaults.
            references: `gallery` and `train` -> the split of that role.
            find_neighbors: Gives, for a split and the steps that it has been through, how its
                neighbours are found.
        """
        self._load, self._params, self._references = load, params, references
        self._find_neighbors = find_neighbors
        self._done: dict[tuple[str, _Bound], FeatureSet] = {}

    def run(
        self, split: str, chain: Sequence[str], params: Mapping[str, Any] | None = None
    ) -> FeatureSet:
        """The features of a split after a chain's steps.

        Args:
            split: Name of the split.
            chain: Names of steps; those at scoring are left to `distances`.
            params: Step name -> its parameters, where they are not the runner's.

        Returns:
            The set, `features` of norm 1.

        Raises:
            ParamsError: A step's `reference` names a split that the project does not have.
            DataError: Features are not usable.
        """
        result = self._after(split, self._bound(feature_chain(chain), params))
        return result.with_features(l2_normalize(result.features))

    def before(
        self, split: str, chain: Sequence[str], step: int, params: Mapping[str, Any] | None = None
    ) -> FeatureSet:
        """The set that step number `step` of a chain receives."""
        return self._after(split, self._bound(chain[:step], params))

    def _bound(self, chain: Sequence[str], params: Mapping[str, Any] | None) -> _Bound:
        given = {**self._params, **(params or {})}
        return tuple((name, given.get(name) or STEPS[name].params()) for name in chain)

    def _after(self, split: str, chain: _Bound) -> FeatureSet:
        key = (split, chain)
        if key not in self._done:
            self._done[key] = self._step(split, chain) if chain else self._load(split)
        return self._done[key]

    def _step(self, split: str, chain: _Bound) -> FeatureSet:
        done, (name, params) = chain[:-1], chain[-1]
        step = STEPS[name]
        features = self._after(split, done)
        reference = self._after(self._reference(split, step.name, params), done)
        find_neighbors = self._find_neighbors(split, tuple(step for step, _ in done))
        surroundings = Surroundings(reference, find_neighbors)
        return step.apply(features, params, surroundings)

    def _reference(self, split: str, step: str, params: Any) -> str:  # noqa: ANN401
        role = getattr(params, "reference", "own")
        if role == "own":
            return split
        if role not in self._references:
            raise ParamsError(
                f"{step}.reference is {role!r}, but the project has no such split; it has "
                f"{', '.join(['own', *self._references])}"
            )
        return self._references[role]
