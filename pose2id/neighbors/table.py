"""The table of nearest neighbours that centralization and re-ranking read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class NeighborTable:
    """The k nearest neighbours of each image, nearest first; ties go to the lower index.

    Attributes:
        ids: `(N, k) int64`, row numbers of the neighbours.
        sq_distances: `(N, k) float32`, exact squared Euclidean distances.
        method: `exact`, `hnsw` or `ivf`.
        farthest_sq: `(N,) float32`, each row's largest squared distance, None where not asked for.
        recall: Measured share of the true neighbours that an approximate method found, else None.
    """

    ids: NDArray[np.int64]
    sq_distances: NDArray[np.float32]
    method: str = "exact"
    recall: float | None = None
    farthest_sq: NDArray[np.float32] | None = None

    @property
    def k(self) -> int:
        """Number of neighbours per image."""
        return int(self.ids.shape[1])

    def __len__(self) -> int:
        """Number of images."""
        return int(self.ids.shape[0])


def merge_candidates(
    rows: NDArray[np.int64],
    ids: NDArray[np.int64],
    sq_distances: NDArray[np.float32],
    n_rows: int,
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best candidates of each row by distance, ties by lower id.

    Args:
        rows: `(P,)` row that each candidate belongs to, any order.
        ids: `(P,)` candidates; no id twice within a row.
        sq_distances: `(P,) float32` exact distances.
        n_rows: Number of rows; each must have at least `k` candidates.
        k: Neighbours to keep.

    Returns:
        `(n_rows, k) int64` ids and `(n_rows, k) float32` distances, nearest first.
    """
    order = np.lexsort((ids, sq_distances, rows))
    first = np.searchsorted(rows[order], np.arange(n_rows))
    best = order[first[:, None] + np.arange(k)]
    return ids[best], sq_distances[best]
