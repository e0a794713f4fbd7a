"""Step `second_opinion`: the feature of another network is set beside a picture's own.

Networks that were trained on other things are wrong about other pictures, so even a weak one can
help. The generator's own identity network is at hand for everybody.

Source: late fusion by concatenation, as in Kittler, Hatef, Duin, Matas, "On Combining Classifiers",
IEEE TPAMI 1998: the cosine of what comes out is the weighted mean of both networks' cosines.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pose2id.arrays import Array, as_array, same_kind
from pose2id.choices import Auto
from pose2id.errors import DataError, ParamsError
from pose2id.features import Floats, l2_normalize
from pose2id.steps.base import FORBID_UNKNOWN, FeatureSet, Step, Surroundings, check_range, known

_LARGEST = 100.0


@dataclass(frozen=True)
class SecondOpinionParams:
    """Parameters of `second_opinion`.

    Attributes:
        weight: Length of the second network's feature beside the own one of length 1: their
            cosines count as weight squared to 1. `auto` is left to the train split.
    """

    weight: float | Auto = 0.5

    __pydantic_config__: ClassVar = FORBID_UNKNOWN

    def __post_init__(self) -> None:
        """Checks the range."""
        check_range("second_opinion", "weight", self.weight, 0, _LARGEST)


@same_kind
def second_opinion(features: NDArray[np.floating], second: Array, *, weight: float = 0.5) -> Floats:
    """Sets the features of a second network beside those of the first.

    Args:
        features: `(N, D)`, of any length; each row counts with length 1.
        second: `(N, E)`, the same pictures by another network, likewise.
        weight: Length of the second part, 0 to 100.

    Returns:
        `(N, D + E) float32`, rows of norm 1.

    Raises:
        DataError: Unusable features, or not as many of both.
        ParamsError: A weight out of its range.

    Source: see the module.

    Example:
        >>> x, y = np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([[3.0], [1.0]])
        >>> both = second_opinion(x, y, weight=1)
        >>> print(both.round(3))
        [[0.707 0.    0.707]
         [0.    0.707 0.707]]
    """
    if not 0 <= weight <= _LARGEST:
        raise ParamsError(f"weight is {weight}; allowed: 0 to {_LARGEST:g}.")
    own, other = l2_normalize(features), l2_normalize(as_array(second, "second features"))
    if len(own) != len(other):
        raise DataError(f"{len(own)} features need as many second ones; received {len(other)}.")
    return l2_normalize(np.concatenate([own, np.float32(weight) * other], axis=1))


def _apply(features: FeatureSet, params: SecondOpinionParams, _: Surroundings) -> FeatureSet:
    weight = known("second_opinion", "weight", params.weight)
    if features.second is None:
        raise DataError(
            "second_opinion needs the features of a second network; there are none. Name one in "
            "features.second"
        )
    joined = second_opinion(features.features, features.second, weight=weight)
    # Drawings have no second feature: `check_chain` has them fused before.
    return replace(features, features=joined, drawings=None, drawing_weights=None)


STEP = Step(
    name="second_opinion",
    words="joined with the feature of a second network",
    source="Kittler et al., IEEE TPAMI 1998",
    params=SecondOpinionParams,
    apply=_apply,
    transductive=False,
    choosable=("weight",),
)
