"""Approximate neighbours by faiss: inverted lists (IVF) or a navigable graph (HNSW).

The index only proposes ids. Their distances are measured exactly, and recall is measured on a
sample, so that a table always says what it is worth. The same features give the same table: the
graph is built by one thread, because faiss inserts in racing order otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pose2id.distances import pair_sq_distances
from pose2id.errors import MissingDependencyError
from pose2id.features import Floats, Ints
from pose2id.neighbors.exact import Problem, exact_neighbors
from pose2id.neighbors.table import NeighborTable, merge_candidates

_SAMPLE = 1000  # rows on which recall is measured
# Lists so short that one holds few identities: more of them cost training, but a row's neighbours
# are then in the first lists visited.
_LISTS = 24  # times the square root of the number of rows
_ROUNDS = 8  # of k-means; more lists gain more than more rounds
_TRAINING_POINTS = 39  # per list; faiss warns of fewer
_LINKS = 16  # of a graph node per layer
_ROWS_PER_SEARCH = 65536


def approximate_neighbors(problem: Problem, k: int, method: str, effort: int) -> NeighborTable:
    """Proposes neighbours by an index and measures them.

    Args:
        problem: What is searched.
        k: Neighbours per row.
        method: `ivf` or `hnsw`.
        effort: Lists visited per row (`ivf`), or a quarter of the nodes kept in view (`hnsw`).

    Returns:
        The table with its measured recall. Rows for which the index finds too few are searched
        exactly.

    Raises:
        MissingDependencyError: faiss is not installed.
    """
    index = _build(problem.features, method, effort, k)
    n, wanted = len(problem.source), k + problem.itself
    ids = np.empty((n, k), dtype=np.int64)
    sq_distances = np.empty((n, k), dtype=np.float32)
    for start in range(0, n, _ROWS_PER_SEARCH):
        stop = min(start + _ROWS_PER_SEARCH, n)
        _, found = index.search(problem.source[start:stop], wanted)
        usable = found >= 0
        if problem.itself:
            usable &= found != np.arange(start, stop)[:, None]
        short = np.flatnonzero(usable.sum(axis=1) < k)
        ids[start + short], sq_distances[start + short] = _exact_rows(problem, start + short, k)
        usable[short] = False
        rows, slots = np.nonzero(usable)
        candidates = found[rows, slots]
        exact = pair_sq_distances(problem.source[start:stop], problem.features, rows, candidates)
        full = np.flatnonzero(usable.any(axis=1))
        compact = np.searchsorted(full, rows)
        best = merge_candidates(compact, candidates, exact, len(full), k)
        ids[start + full], sq_distances[start + full] = best
    recall = _recall(problem, sq_distances)
    return NeighborTable(ids, sq_distances, method, recall)


def _build(features: Floats, method: str, effort: int, k: int) -> Any:  # noqa: ANN401 - untyped
    try:
        import faiss
    except ImportError as error:
        raise MissingDependencyError(
            f"method {method!r} needs faiss; install the extra: pip install 'pose2id[ann]'."
        ) from error
    n, dim = features.shape
    if method == "hnsw":
        graph = faiss.IndexHNSWFlat(dim, _LINKS)
        graph.hnsw.efSearch = max(4 * effort, 2 * (k + 1))
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        graph.add(features)
        faiss.omp_set_num_threads(threads)
        return graph
    n_lists = max(1, min(round(_LISTS * n**0.5), n // _TRAINING_POINTS))
    lists = faiss.IndexIVFFlat(faiss.IndexFlatL2(dim), dim, n_lists)
    lists.cp.max_points_per_centroid = _TRAINING_POINTS
    lists.cp.niter = _ROUNDS
    lists.nprobe = min(effort, n_lists)
    lists.train(features)
    lists.add(features)
    return lists


def _exact_rows(problem: Problem, rows: Ints, k: int) -> tuple[Ints, Floats]:
    """Exact neighbours of a few rows of the source."""
    if not len(rows):
        return np.empty((0, k), np.int64), np.empty((0, k), np.float32)
    wanted = k + problem.itself
    part = Problem(problem.source[rows], problem.features, False, problem.memory_mib, "cpu")
    ids, _, _ = exact_neighbors(part, wanted, farthest=False)
    usable = ids != rows[:, None] if problem.itself else np.ones_like(ids, dtype=np.bool_)
    line, slots = np.nonzero(usable)
    candidates = ids[line, slots]
    exact = pair_sq_distances(part.source, part.features, line, candidates)
    return merge_candidates(line, candidates, exact, len(rows), k)


def _recall(problem: Problem, sq_distances: Floats) -> float:
    """Share of a sample's neighbours that are as near as the true ones."""
    n, k = sq_distances.shape
    sample = np.unique(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(np.int64))
    _, true = _exact_rows(problem, sample, k)
    return float(np.mean(sq_distances[sample] <= true[:, -1:]))
