"""Step `nfc`: neighbour feature centralization, each feature absorbs its mutual neighbours.

Source: Pose2ID, CVPR 2025, arXiv 2503.00938, section 3.2 and the authors' code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from pose2id.arrays import same_kind
from pose2id.choices import Auto, Search
from pose2id.errors import DataError, ParamsError
from pose2id.features import Floats, check_features, l2_normalize
from pose2id.steps.base import (
    FORBID_UNKNOWN,
    MAX_K,
    FeatureSet,
    Step,
    Surroundings,
    check_range,
    known,
    possible_k,
)

if TYPE_CHECKING:
    from pose2id.neighbors.table import NeighborTable

_ROWS_PER_CHUNK = 4096
MAX_EFFORT = 4096


@dataclass(frozen=True)
class NfcParams:
    """Parameters of `nfc`.

    Attributes:
        k1: Neighbours that may be absorbed; `auto` is left to the train split.
        k2: How near the way back must be; more than k1 counts as k1; or `auto`.
        search: How neighbours are found.
        effort: What an approximate search spends per image: lists visited (`ivf`), or a quarter of
            the nodes kept in view (`hnsw`). A note of the run says which share of the true
            neighbours was found.
        memory_mib: Bound on the search's working memory.
    """

    k1: int | Auto = 2
    k2: int | Auto = 2
    search: Search = "exact"
    effort: int = 16
    memory_mib: int = 256

    __pydantic_config__: ClassVar = FORBID_UNKNOWN

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_range("nfc", "k1", self.k1, 1, MAX_K)
        check_range("nfc", "k2", self.k2, 1, MAX_K)
        check_range("nfc", "effort", self.effort, 1, MAX_EFFORT)
        check_range("nfc", "memory_mib", self.memory_mib, 16, 2**20)


def mutual_neighbors(ids: NDArray[np.integer], k1: int, k2: int) -> NDArray[np.bool_]:
    """Which of the k1 nearest neighbours of i have i among their own k2 nearest.

    Args:
        ids: `(N, k)` neighbour ids, nearest first, k >= k1.
        k1: Neighbours that may be absorbed.
        k2: How near the way back must be; more than k1 counts as k1.

    Returns:
        `(N, k1) bool`, True where `ids[i, slot]` is mutual.

    Example:
        >>> mutual_neighbors(np.array([[1], [0], [1]]), 1, 1).tolist()
        [[True], [True], [False]]
    """
    if k1 < 1 or k2 < 1:
        raise ParamsError(f"k1 is {k1} and k2 is {k2}; both must be at least 1.")
    if k1 > ids.shape[1]:
        raise DataError(
            f"k1 = {k1} but the table holds only {ids.shape[1]} neighbours per image; compute it "
            f"with k >= {k1}."
        )
    back = ids[:, : min(k1, k2)]
    own = np.arange(len(ids))[:, None]
    mutual = np.zeros((len(ids), k1), dtype=np.bool_)
    for slot in range(back.shape[1]):  # one slot at a time: memory stays O(N k1)
        mutual |= back[ids[:, :k1], slot] == own
    return mutual


@same_kind
def nfc(
    features: NDArray[np.floating],
    k1: int = 2,
    k2: int = 2,
    *,
    neighbors: NeighborTable | None = None,
    normalize: bool = True,
) -> Floats:
    """Neighbour feature centralization: x'_i = l2(x_i + sum of i's mutual neighbours).

    All sums read the features as they came in. Cameras are ignored, distractors take part. A set of
    images is summed in the order of its row numbers, in float64, and rounded once: images with the
    same set get the same feature to the bit. Where opposite features cancel, x'_i stays x_i.

    Args:
        features: `(N, D)`.
        k1: Neighbours that may be absorbed.
        k2: How near the way back must be.
        neighbors: Table of the same features (normalised, where `normalize`), with k >= k1; None
            computes the exact one.
        normalize: Normalise before and after, as in the authors' evaluation; their stand-alone
            script does neither.

    Returns:
        `(N, D) float32`, rows of norm 1 where `normalize`.

    Raises:
        DataError: Unusable features, N <= k1, or a table of other features.
        ParamsError: k1 or k2 below 1.

    Source: Pose2ID section 3.2 and the authors' code.

    Example:
        >>> x = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, -1.0]])
        >>> print(nfc(x, k1=1, k2=1).round(3))
        [[ 0.949  0.316]
         [ 0.949  0.316]
         [ 0.    -1.   ]]
    """
    from pose2id.neighbors import nearest_neighbors

    if k1 < 1 or k2 < 1:
        raise ParamsError(f"k1 is {k1} and k2 is {k2}; both must be at least 1.")
    matrix = l2_normalize(features) if normalize else check_features(features, "features")
    if len(matrix) <= k1:
        raise DataError(
            f"centralization with k1 = {k1} needs more than {k1} images; received {len(matrix)}. "
            "Lower k1 or add images."
        )
    table = nearest_neighbors(matrix, k1) if neighbors is None else neighbors
    if len(table) != len(matrix):
        raise DataError(
            f"the neighbour table has {len(table)} rows but there are {len(matrix)} features; "
            "compute it from these features."
        )
    nobody = len(matrix)
    mutual = np.where(mutual_neighbors(table.ids, k1, k2), table.ids[:, :k1], nobody)
    members = np.sort(np.column_stack([np.arange(len(matrix)), mutual]), axis=1)
    out = np.empty_like(matrix)
    for start in range(0, len(matrix), _ROWS_PER_CHUNK):
        rows = members[start : start + _ROWS_PER_CHUNK]
        sums = np.zeros((len(rows), matrix.shape[1]))
        for slot in range(rows.shape[1]):
            present = np.flatnonzero(rows[:, slot] != nobody)
            sums[present] += matrix[rows[present, slot]]
        cancelled = ~sums.any(axis=1)
        sums[cancelled] = matrix[start : start + _ROWS_PER_CHUNK][cancelled]
        out[start : start + _ROWS_PER_CHUNK] = l2_normalize(sums) if normalize else sums
    return out


def _apply(features: FeatureSet, params: NfcParams, surroundings: Surroundings) -> FeatureSet:
    matrix = l2_normalize(features.features)
    k1, k2 = known("nfc", "k1", params.k1), known("nfc", "k2", params.k2)
    k1, notes = possible_k("nfc", "k1", k1, len(matrix) - 1)
    if not k1:
        return features.with_features(matrix, *notes)
    table = surroundings.find_neighbors(
        matrix, k1, search=params.search, effort=params.effort, memory_mib=params.memory_mib
    )
    if table.recall is not None:
        notes += (
            f"nfc: {params.search} with effort {params.effort} found {100 * table.recall:.1f} % of "
            "the true neighbours; a higher nfc.effort finds more",
        )
    return features.with_features(nfc(matrix, k1, k2, neighbors=table), *notes)


STEP = Step(
    name="nfc",
    words="centralized with its mutual nearest neighbours",
    source="Pose2ID, CVPR 2025, arXiv 2503.00938, section 3.2",
    params=NfcParams,
    apply=_apply,
    own_neighbors=lambda params: known("nfc", "k1", params.k1),
    choosable=("k1", "k2"),
)
