"""An exact table of neighbours brought up to date when rows arrive, change or leave."""

from __future__ import annotations

import numpy as np
import torch

from pose2id.distances import Floats, Ints, pair_sq_distances
from pose2id.neighbors.exact import Problem, exact_neighbors
from pose2id.neighbors.table import NeighborTable, merge_candidates


def updated_table(
    table: NeighborTable, features: Floats, origin: Ints, memory_mib: int, device: torch.device
) -> NeighborTable:
    """The exact table of all features; see `update_neighbors`, which checks the arguments."""
    n, k = len(features), table.k
    ids, sq_distances = np.empty((n, k), np.int64), np.empty((n, k), np.float32)
    place = np.full(len(table), -1, np.int64)  # old row -> row now
    stay = np.flatnonzero(origin >= 0)
    place[origin[stay]] = stay
    # A list that has lost a neighbour does not know who comes next.
    whole = stay[(place[table.ids[origin[stay]]] >= 0).all(axis=1)]
    searched = np.setdiff1d(np.arange(n), whole)
    arrived = np.flatnonzero(origin < 0)
    ids[searched], sq_distances[searched] = _search(features, searched, k, memory_mib, device)
    ids[whole], sq_distances[whole] = (
        place[table.ids[origin[whole]]],
        (table.sq_distances[origin[whole]]),
    )
    if len(arrived) and len(whole):
        # The k best of all are among the k best of before and the k best of those that arrived.
        problem = Problem(features[whole], features[arrived], False, memory_mib, device)
        near, sq_near, _ = exact_neighbors(problem, min(k, len(arrived)), farthest=False)
        rows = np.repeat(np.arange(len(whole)), k + near.shape[1])
        candidates = np.concatenate([ids[whole], arrived[near]], axis=1).ravel()
        values = np.concatenate([sq_distances[whole], sq_near], axis=1).ravel()
        ids[whole], sq_distances[whole] = merge_candidates(rows, candidates, values, len(whole), k)
    return NeighborTable(ids, sq_distances)


def _search(
    features: Floats, rows: Ints, k: int, memory_mib: int, device: torch.device
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
