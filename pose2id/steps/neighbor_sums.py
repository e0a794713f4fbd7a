"""What steps share that add neighbours of a reference set to each feature, weighted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pose2id.features import Floats, l2_normalize
from pose2id.steps.base import FeatureSet, Surroundings, possible_k

if TYPE_CHECKING:
    from pose2id.neighbors.table import NeighborTable

_ROWS_PER_CHUNK = 4096
MEMORY_MIB = 256


def reference_neighbors(
    step: str, features: FeatureSet, surroundings: Surroundings, k: int
) -> tuple[Floats, Floats, NeighborTable | None, tuple[str, ...]]:
    """The k nearest neighbours of each feature in the step's reference set.

    An image that is in the reference itself is not its own neighbour.

    Returns:
        The features and the reference's at length one, the table (None where nobody is near, the
        reference holding nothing but the image), and notes.
    """
    from pose2id.neighbors import nearest_neighbors

    own = l2_normalize(features.features)
    if surroundings.reference is features:
        k, notes = possible_k(step, "k", k, len(own) - 1)
        if not k:
            return own, own, None, notes
        table = surroundings.find_neighbors(own, k, search="exact", memory_mib=MEMORY_MIB)
        return own, own, table, notes
    other = l2_normalize(surroundings.reference.features)
    k, notes = possible_k(step, "k", k, len(other))
    return own, other, nearest_neighbors(other, k, queries=own, memory_mib=MEMORY_MIB), notes


def add_weighted(
    own: Floats, other: Floats, table: NeighborTable, weights: NDArray[np.float64]
) -> Floats:
    """l2(f + sum of w_k times neighbour k); where opposite features cancel, f stays.

    Args:
        own: `(N, D) float32`, unit rows.
        other: `(R, D) float32`, unit rows, what the table's ids count.
        table: `(N, k)` neighbours.
        weights: `(N, k)`, >= 0.

    Returns:
        `(N, D) float32`, unit rows.
    """
    out = np.empty_like(own)
    for start in range(0, len(own), _ROWS_PER_CHUNK):
        rows = slice(start, start + _ROWS_PER_CHUNK)
        sums = own[rows].astype(np.float64)
        for slot in range(table.k):
            sums += weights[rows, slot, None] * other[table.ids[rows, slot]]
        cancelled = ~sums.any(axis=1)
        sums[cancelled] = own[rows][cancelled]
        out[rows] = l2_normalize(sums)
    return out
