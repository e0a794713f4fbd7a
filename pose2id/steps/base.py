"""What a step of a chain is: a set of features in, the same set out, a little better.

A chain is a list of steps' names. It begins with raw features and ends with unit rows, see
`pose2id.steps.chain`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from pose2id.choices import Auto, Search
from pose2id.errors import DataError, ParamsError
from pose2id.features import Floats, Ints

if TYPE_CHECKING:
    from pose2id.neighbors.table import NeighborTable

UNKNOWN_CAMERA = -1
# Read by pydantic, if it validates a step's parameters: an unknown key is an error.
FORBID_UNKNOWN = {"extra": "forbid"}


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """The features of one split, rows in image id order.

    Attributes:
        features: `(N, D) float32`.
        camids: `(N,) int64`, -1 where unknown; None where no camera is known at all.
        drawings: `(N, M, D) float32`, features of M drawings per image; None without, or once they
            are fused.
        drawing_weights: `(N, M) float32`, 0 leaves a drawing out; None counts each once.
        notes: What a reader of the results should know of how they came about.
        second: `(N, E) float32`, raw features of the same images by a second network; None without.
    """

    features: Floats
    camids: Ints | None = None
    drawings: Floats | None = None
    drawing_weights: Floats | None = None
    notes: tuple[str, ...] = ()
    second: Floats | None = None

    def __post_init__(self) -> None:
        """Refuses parts that do not belong together."""
        n, dim = self.features.shape
        if self.camids is not None and self.camids.shape != (n,):
            raise DataError(f"{n} features need {n} camids; received {self.camids.shape}.")
        if self.second is not None and len(self.second) != n:
            raise DataError(f"{n} features need {n} second ones; received {len(self.second)}.")
        if self.drawings is not None and (
            self.drawings.ndim != 3 or self.drawings.shape[0] != n or self.drawings.shape[2] != dim
        ):
            raise DataError(
                f"drawings must have shape ({n}, M, {dim}) to match the features; received "
                f"{self.drawings.shape}."
            )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.features)

    def with_features(self, features: Floats, *notes: str) -> FeatureSet:
        """The same images with other features, and notes added."""
        return replace(self, features=features, notes=(*self.notes, *notes))

    def take(self, rows: Ints) -> FeatureSet:
        """The images of some rows."""
        drawings, weights = self.drawings, self.drawing_weights
        return replace(
            self,
            features=self.features[rows],
            camids=None if self.camids is None else self.camids[rows],
            drawings=None if drawings is None else drawings[rows],
            drawing_weights=None if weights is None else weights[rows],
            second=None if self.second is None else self.second[rows],
        )

    @property
    def cameras(self) -> Ints:
        """`(N,) int64`, -1 where unknown."""
        if self.camids is None:
            return np.full(len(self), UNKNOWN_CAMERA, np.int64)
        return self.camids


class FindNeighbors(Protocol):
    """Finds the nearest neighbours of each row of a matrix within that matrix."""

    def __call__(
        self, features: Floats, k: int, *, search: Search, effort: int = 16, memory_mib: int
    ) -> NeighborTable:
        """See `pose2id.neighbors.nearest_neighbors`, which this is unless tables are kept."""
        ...


def fresh_neighbors(
    features: Floats, k: int, *, search: Search, effort: int = 16, memory_mib: int
) -> NeighborTable:
    """`nearest_neighbors` as a `FindNeighbors`: searched anew at every call."""
    from pose2id.neighbors import nearest_neighbors

    return nearest_neighbors(features, k, method=search, effort=effort, memory_mib=memory_mib)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a step may look at beside its own set.

    Attributes:
        reference: The set, treated by the same steps so far, that the step's `reference` parameter
            names; the own set where it names none.
        find_neighbors: How neighbours within the own set are found.
    """

    reference: FeatureSet
    find_neighbors: FindNeighbors = fresh_neighbors


P = TypeVar("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step(Generic[P]):
    """One step that a chain can name.

    Attributes:
        name: As it stands in params.yaml.
        words: What it does, as the report says it.
        source: Paper and place.
        params: Its parameters, a frozen dataclass that checks itself; all have defaults.
        apply: The step: the set, its parameters and what else it may look at, to the set.
        transductive: Whether a feature's value depends on the other images.
        own_neighbors: How many neighbours within the own set it asks for, if it does.
        choosable: The parameters that may be `auto`: the train split then decides, and may leave
            the step out.
    """

    name: str
    words: str
    source: str
    params: type[P]
    apply: Callable[[FeatureSet, P, Surroundings], FeatureSet]
    transductive: bool = True
    own_neighbors: Callable[[P], int] | None = None
    choosable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoringStep(Generic[P]):
    """A step between features and ranks: query and gallery in, distances out. It ends a chain.

    Attributes:
        name: As it stands in params.yaml.
        words: What it does, as the report says it.
        source: Paper and place.
        params: Its parameters.
        distances: Query features, gallery features, parameters and the device of large products,
            to a distance source and notes.
        transductive: Whether a distance depends on the other images.
    """

    name: str
    words: str
    source: str
    params: type[P]
    distances: Callable[[Floats, Floats, P, str], tuple[Any, tuple[str, ...]]]
    transductive: bool = True


def possible_k(step: str, name: str, k: int, n_others: int) -> tuple[int, tuple[str, ...]]:
    """As many neighbours as there are, with a note where that is fewer than asked for.

    >>> possible_k("nfc", "k1", 3, 1)
    (1, ('nfc: k1 3 lowered to 1, as each image has only 1 other(s)',))
    """
    if k <= n_others:
        return k, ()
    note = f"{step}: {name} {k} lowered to {n_others}, as each image has only {n_others} other(s)"
    return n_others, (note,)


def check_range(step: str, name: str, value: float | Auto, low: float, high: float) -> None:
    """Refuses a parameter that is not a number between two bounds, both allowed; or `auto`.

    Raises:
        ParamsError: It is not.
    """
    if value != "auto" and not low <= value <= high:  # also false for NaN
        shown = str(value)[:24]  # whole numbers may have any number of digits
        raise ParamsError(f"{step}.{name} is {shown}; allowed: {low:g} to {high:g}.")


def known(step: str, name: str, value: T | Auto) -> T:
    """A parameter that may have been left to the train split, once it has a value.

    Raises:
        ParamsError: It has none yet.
    """
    if value == "auto":
        raise ParamsError(
            f"{step}.{name} is auto, and nobody has chosen its value; choose one on a train split, "
            "or give one."
        )
    return value


def auto_keys(params: Any) -> list[str]:  # noqa: ANN401 - each step has parameters of its own
    """The parameters of a step that are left to the train split.

    >>> from pose2id.steps.nfc import NfcParams
    >>> auto_keys(NfcParams(k1="auto"))
    ['k1']
    """
    names = [field.name for field in fields(params)]
    return [name for name in names if getattr(params, name) == "auto"]


MAX_K = 1000  # neighbours per image; more than any gallery has pictures of a person
