"""An exact table of neighbours brought up to date when rows arrive, change or leave."""

from __future__ import annotations

import numpy as np

from pose2id.distances import pair_sq_distances
from pose2id.features import Floats, Ints
from pose2id.neighbors.exact import Problem, exact_neighbors
from pose2id.neighbors.table import NeighborTable, merge_candidates


def updated_table(
    table: NeighborTable,
    features: Floats,
    origin: Ints,
    rows: Ints,
    memory_mib: int,
    device: str,
) -> NeighborTable:
    """Some rows of the table of all features; `update_neighbors` explains and checks arguments."""
    k = table.k
    place = np.full(len(table), -1, np.int64)  # old row -> row now
    stay = np.flatnonzero(origin >= 0)
    place[origin[stay]] = stay
    stay = np.intersect1d(stay, rows)
    # A list that has lost a neighbour does not know who comes next.
    whole = stay[(place[table.ids[origin[stay]]] >= 0).all(axis=1)]
    searched = np.setdiff1d(rows, whole)
    arrived = np.flatnonzero(origin < 0)
    found = _search(features, searched, k, memory_mib, device)
    ids, sq_distances = place[table.ids[origin[whole]]], table.sq_distances[origin[whole]]
    if len(arrived) and len(whole):
        # The k best of all are among the k best of before and the k best of those that arrived.
        problem = Problem(features[whole], features[arrived], False, memory_mib, device)
        near, sq_near, _ = exact_neighbors(problem, min(k, len(arrived)), farthest=False)
        own = np.repeat(np.arange(len(whole)), k + near.shape[1])
        candidates = np.concatenate([ids, arrived[near]], axis=1).ravel()
        values = np.concatenate([sq_distances, sq_near], axis=1).ravel()
        ids, sq_distances = merge_candidates(own, candidates, values, len(whole), k)
    order = np.argsort(np.concatenate([searched, whole]))
    return NeighborTable(
        np.concatenate([found[0], ids])[order], np.concatenate([found[1], sq_distances])[order]
    )


def _search(
    features: Floats, rows: Ints, k: int, memory_mib: int, device: str
) -> tuple[Ints, Floats]:
    """The neighbours of a few rows among all, themselves left out."""
    if not len(rows):
        return np.empty((0, k), np.int64), np.empty((0, k), np.float32)
    problem = Problem(features[rows], features, False, memory_mib, device)
    near, _, _ = exact_neighbors(problem, k + 1, farthest=False)  # one more: a row finds itself
    own, slots = np.nonzero(near != rows[:, None])
    candidates = near[own, slots]
    values = pair_sq_distances(features, features, rows[own], candidates)
    return merge_candidates(own, candidates, values, len(rows), k)
