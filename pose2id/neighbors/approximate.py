"""Approximate neighbours by faiss: inverted lists (IVF) or a navigable graph (HNSW).

The index only proposes ids. Their distances are measured exactly, and recall is measured on a
sample, so that a table always says what it is worth. The same features give the same table: the
graph is built by one thread, because faiss inserts in racing order otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pose2id.distances import pair_sq_distances
from pose2id.errors import MissingDependencyError
from pose2id.features import Floats, Ints
from pose2id.neighbors.exact import Problem, exact_neighbors, neighbors_of_other_groups
from pose2id.neighbors.table import NeighborTable, merge_candidates

_SAMPLE = 1000  # rows on which recall is measured
_LINKS = 16  # of a graph node per layer
_REACH = 14  # neighbours of neighbours that are measured: so many of so many
_ROWS_PER_SEARCH = 65536
_ROWS_PER_MEASURE = 16384


def approximate_neighbors(
    problem: Problem, k: int, method: str, effort: int, groups: Ints | None = None
) -> NeighborTable:
    """Proposes neighbours by an index, and within one set the neighbours of these; measures them.

    Args:
        problem: What is searched.
        k: Neighbours per row.
        method: `ivf` or `hnsw`.
        effort: Lists visited per row (`ivf`), or a quarter of the nodes kept in view (`hnsw`).
        groups: `(N,)`, of a search within one set: rows of a row's own group are left out.

    Returns:
        The table with its measured recall. Rows for which too few are proposed are searched
        exactly; with groups -1 and infinity stand where there are fewer than k.

    Raises:
        MissingDependencyError: faiss is not installed.
    """
    proposed = _proposals(problem, k, method, effort, groups)
    n = len(proposed)
    ids, sq_distances = np.full((n, k), -1, np.int64), np.full((n, k), np.inf, np.float32)
    for start in range(0, n, _ROWS_PER_MEASURE):
        own = np.arange(start, min(start + _ROWS_PER_MEASURE, n))
        rows, candidates = _candidates(problem, proposed, own, groups)
        counts = np.bincount(rows, minlength=len(own))
        short = own[counts < k]
        ids[short], sq_distances[short] = _exact_rows(problem, short, k, groups)
        full = np.flatnonzero(counts >= k)
        enough = counts[rows] >= k
        rows, candidates = rows[enough], candidates[enough]
        exact = pair_sq_distances(problem.source[own], problem.features, rows, candidates)
        best = merge_candidates(np.searchsorted(full, rows), candidates, exact, len(full), k)
        ids[own[full]], sq_distances[own[full]] = best
    return NeighborTable(ids, sq_distances, method, _recall(problem, sq_distances, groups))


def _proposals(problem: Problem, k: int, method: str, effort: int, groups: Ints | None) -> Ints:
    """What the index finds for each row of the source, `(Q, W)`, nearest first, -1 for nothing."""
    width = max(k, _REACH) + (problem.itself and groups is None)
    index = _build(problem, method, effort, width)
    n = len(problem.source)
    proposed = np.empty((n, width), np.int64)
    for group in [None] if groups is None else np.unique(groups):
        mine = np.arange(n) if groups is None else np.flatnonzero(groups == group)
        allowed = None if groups is None else groups != group
        for start in range(0, len(mine), _ROWS_PER_SEARCH):
            rows = mine[start : start + _ROWS_PER_SEARCH]
            known = rows if problem.itself else None
            proposed[rows] = index.search(problem.source[rows], known, width, allowed)
    return proposed


def _candidates(
    problem: Problem, proposed: Ints, own: Ints, groups: Ints | None
) -> tuple[Ints, Ints]:
    """What is worth measuring of some rows: places in `own`, ascending, and ids, each once."""
    found = proposed[own]
    if problem.itself:
        near = found[:, :_REACH]
        beyond = np.where(near[:, :, None] >= 0, proposed[near][:, :, :_REACH], -1)
        found = np.concatenate([found, beyond.reshape(len(own), -1)], axis=1)
    found = np.sort(found, axis=1)
    good = found >= 0
    good[:, 1:] &= found[:, 1:] != found[:, :-1]
    if groups is not None:
        good &= groups[found] != groups[own, None]
    elif problem.itself:
        good &= found != own[:, None]
    rows, slots = np.nonzero(good)
    return rows, found[rows, slots]


class _Index(Protocol):
    """What proposes."""

    def search(
        self, rows: Floats, known: Ints | None, k: int, allowed: NDArray[np.bool_] | None
    ) -> Ints:
        """Ids near each row, `(R, k)`, -1 where there are too few.

        Args:
            rows: `(R, D)`.
            known: `(R,)` which of the indexed rows they are; None where they are others.
            k: Ids per row.
            allowed: `(N,)` which ids may be proposed; None for all.
        """
        ...


class _Graph:
    """A navigable graph."""

    def __init__(self, faiss: Any, features: Floats, effort: int, k: int) -> None:  # noqa: ANN401 - untyped
        self._faiss = faiss
        self._graph = faiss.IndexHNSWFlat(features.shape[1], _LINKS)
        self._in_view = max(4 * effort, 2 * (k + 1))
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        self._graph.add(features)
        faiss.omp_set_num_threads(threads)

    def search(
        self, rows: Floats, known: Ints | None, k: int, allowed: NDArray[np.bool_] | None
    ) -> Ints:
        """See `_Index`."""
        selector = _selector(self._faiss, allowed)
        params = self._faiss.SearchParametersHNSW(efSearch=self._in_view, sel=selector)
        ids: Ints = self._graph.search(rows, k, params=params)[1]
        return ids


class _Lists:
    """Inverted lists."""

    def __init__(self, faiss: Any, problem: Problem, effort: int) -> None:  # noqa: ANN401 - untyped
        from faiss.contrib.ivf_tools import add_preassigned

        from pose2id.neighbors.inverted_lists import Centers

        features, dim = problem.features, problem.features.shape[1]
        self._faiss, self._centers = faiss, Centers(features, problem.dtype())
        self._n_visited = min(effort, len(self._centers))
        self._nearest = self._centers.nearest(features, self._n_visited)
        self._quantizer = faiss.IndexFlatL2(dim)  # asked for, and never used
        self._lists = faiss.IndexIVFFlat(self._quantizer, dim, len(self._centers))
        self._lists.is_trained = True
        self._lists.nprobe = self._n_visited
        for start in range(0, len(features), _ROWS_PER_SEARCH):
            part = slice(start, start + _ROWS_PER_SEARCH)
            add_preassigned(self._lists, features[part], self._nearest[part, 0].astype(np.int64))

    def search(
        self, rows: Floats, known: Ints | None, k: int, allowed: NDArray[np.bool_] | None
    ) -> Ints:
        """See `_Index`."""
        if known is None:
            lists = self._centers.nearest(rows, self._n_visited)
        else:
            lists = self._nearest[known]
        chosen = _selector(self._faiss, allowed)
        params = self._faiss.SearchParametersIVF(nprobe=self._n_visited, sel=chosen)
        lists, far = np.ascontiguousarray(lists, np.int64), np.zeros(lists.shape, np.float32)
        ids, near = np.empty((len(rows), k), np.int64), np.empty((len(rows), k), np.float32)
        rows = np.ascontiguousarray(rows)
        pointers = map(self._faiss.swig_ptr, (rows, lists, far, near, ids))
        x, visited, to_lists, distances, labels = pointers
        self._lists.search_preassigned_c(  # the wrapper takes no selector
            *(len(rows), x, k, visited, to_lists, distances, labels, False, params)
        )
        return ids


def _selector(faiss: Any, allowed: NDArray[np.bool_] | None) -> Any:  # noqa: ANN401 - untyped
    if allowed is None:
        return None
    return faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))


def _build(problem: Problem, method: str, effort: int, k: int) -> _Index:
    try:
        import faiss
    except ImportError as error:
        raise MissingDependencyError(
            f"method {method!r} needs faiss; install the extra: pip install 'pose2id[ann]'."
        ) from error
    if method == "hnsw":
        return _Graph(faiss, problem.features, effort, k)
    return _Lists(faiss, problem, effort)


def _exact_rows(problem: Problem, rows: Ints, k: int, groups: Ints | None) -> tuple[Ints, Floats]:
    """Exact neighbours of a few rows of the source, `(R, k)` ids and squared distances."""
    if groups is not None:
        return neighbors_of_other_groups(problem, rows, k, groups)
    if not len(rows):
        return np.empty((0, k), np.int64), np.empty((0, k), np.float32)
    wanted = k + problem.itself
    part = replace(problem, source=problem.source[rows], itself=False)
    found, _, _ = exact_neighbors(part, wanted, farthest=False)
    usable = found != rows[:, None] if problem.itself else np.ones_like(found, dtype=np.bool_)
    line, slots = np.nonzero(usable)
    candidates = found[line, slots]
    exact = pair_sq_distances(part.source, part.features, line, candidates)
    return merge_candidates(line, candidates, exact, len(rows), k)


def _recall(problem: Problem, sq_distances: Floats, groups: Ints | None) -> float:
    """Share of a sample's neighbours that are as near as the true ones."""
    n, k = sq_distances.shape
    sample = np.unique(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(np.int64))
    _, true = _exact_rows(problem, sample, k, groups)
    return float(np.mean(sq_distances[sample] <= true[:, -1:]))
