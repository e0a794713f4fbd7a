"""k nearest neighbours: exact in blocks, or approximate with measured recall."""

from __future__ import annotations

from typing import get_args

import numpy as np
from numpy.typing import NDArray

from pose2id.arrays import Array
from pose2id.choices import Search
from pose2id.errors import DataError, ParamsError
from pose2id.features import check_features
from pose2id.neighbors.approximate import approximate_neighbors
from pose2id.neighbors.exact import Problem, exact_neighbors, neighbors_of_other_groups
from pose2id.neighbors.incremental import updated_table
from pose2id.neighbors.table import NeighborTable

__all__ = ["NeighborTable", "nearest_neighbors", "update_neighbors"]


def nearest_neighbors(
    features: Array,
    k: int,
    *,
    queries: Array | None = None,
    memory_mib: int = 256,
    device: str = "cpu",
    method: Search = "exact",
    effort: int = 16,
    farthest: bool = False,
    groups: NDArray[np.int64] | None = None,
) -> NeighborTable:
    """The k nearest neighbours by squared Euclidean distance, ties to the lower index.

    Args:
        features: `(N, D)`, used as given: normalise first where that is meant.
        k: Neighbours per row.
        queries: `(Q, D)` to look up; None looks up each row of `features` and leaves itself out.
        memory_mib: Bound on the working memory beside features and result.
        device: Where the matrix products are computed: `cpu`, `cuda`, or `auto` for a CUDA card
            where there is one. The result is the same on every device.
        method: `exact`, or approximate: `ivf` (inverted lists, for millions of rows) or `hnsw`
            (graph). An approximate table records the recall measured on a sample.
        effort: What an approximate method spends per row; more is slower and nearer to exact.
        farthest: Also find each row's largest distance (exact method, no queries), as re-ranking
            needs it.
        groups: `(N,)`, such as cameras: a row's neighbours are of other groups than its own (no
            queries, no farthest).

    Returns:
        The table, `(N, k)` or `(Q, k)`; with groups -1 and infinity stand where there are fewer
        than k.

    Raises:
        DataError: Unusable features, or fewer than k other rows.
        ParamsError: k or effort below 1, or an unknown method.
        MissingDependencyError: An approximate method without faiss.

    Example:
        >>> x = np.array([[0.0], [1.0], [3.0]])
        >>> nearest_neighbors(x, 1).ids.tolist()
        [[1], [0], [1]]
    """
    matrix = check_features(features, "features")
    wanted = None if queries is None else check_features(queries, "queries")
    if groups is None:
        _check_k(k, len(matrix) - (wanted is None))
    elif wanted is not None or farthest or len(groups) != len(matrix):
        raise DataError(
            f"groups go with neither queries nor farthest, and are one per row; received "
            f"{len(groups)} of {len(matrix)} rows."
        )
    if wanted is not None and wanted.shape[1] != matrix.shape[1]:
        raise DataError(
            f"queries have {wanted.shape[1]} dimensions but features {matrix.shape[1]}; "
            "extract both with the same network."
        )
    if method not in get_args(Search) or effort < 1:
        raise ParamsError(
            f"method is {method!r} and effort {effort}; allowed: {', '.join(get_args(Search))}, "
            "and an effort of at least 1."
        )
    problem = Problem(
        matrix if wanted is None else wanted,
        matrix,
        wanted is None,
        memory_mib,
        device,
    )
    if method != "exact":
        return approximate_neighbors(problem, k, method, effort, groups)
    if groups is not None:
        every = np.arange(len(matrix))
        return NeighborTable(*neighbors_of_other_groups(problem, every, k, groups))
    ids, sq_distances, farthest_sq = exact_neighbors(problem, k, farthest)
    return NeighborTable(ids, sq_distances, method, farthest_sq=farthest_sq)


def update_neighbors(
    table: NeighborTable,
    features: NDArray[np.floating],
    origin: NDArray[np.int64],
    *,
    rows: NDArray[np.int64] | None = None,
    memory_mib: int = 256,
    device: str = "cpu",
) -> NeighborTable:
    """Brings an exact table up to date; pairs of rows that were there before are not recomputed.

    Args:
        table: Exact table of the features as they were; one without rows if there were none.
        features: `(N, D)`, the features as they are.
        origin: `(N,)`, each row's number in the old table, -1 for a new or changed one. Rows that
            stay keep their order; those whose neighbours have left are searched anew.
        rows: `(R,)` ascending, the rows that are wanted, so that several machines can share the
            work; None for all.
        memory_mib: Bound on the working memory beside features and result.
        device: As of `nearest_neighbors`.

    Returns:
        The table, equal to these rows of a fresh exact one.

    Raises:
        DataError: Unusable features, a table that is not exact, or an origin that does not fit.

    Example:
        >>> old = nearest_neighbors(np.array([[0.0], [1.0], [3.0]]), 1)
        >>> grown = np.array([[0.0], [0.4], [1.0], [3.0]])
        >>> update_neighbors(old, grown, np.array([0, -1, 1, 2])).ids.tolist()
        [[1], [0], [1], [2]]
    """
    matrix = check_features(features, "features")
    _check_k(table.k, len(matrix) - 1)
    stay = origin[origin >= 0]
    if table.method != "exact" or len(origin) != len(matrix):
        raise DataError(
            f"only an exact table can be updated, with an origin of every row; received a "
            f"{table.method!r} table and {len(origin)} origins of {len(matrix)} rows. Compute the "
            "table afresh."
        )
    if (np.diff(stay) <= 0).any() or (len(stay) and stay[-1] >= len(table)):
        raise DataError(
            "rows that stay must be rows of the old table in their old order, each once; compute "
            "the table afresh."
        )
    wanted = np.arange(len(matrix)) if rows is None else rows
    return updated_table(table, matrix, origin, wanted, memory_mib, device)


def _check_k(k: int, available: int) -> None:
    if k < 1:
        raise ParamsError(f"k is {k}; it must be at least 1.")
    if k > available:
        raise DataError(
            f"k = {k} neighbours were asked for but each image has only {available} others; "
            f"choose k <= {available} or add images."
        )
