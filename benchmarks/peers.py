"""Peers that are not packages: the published procedures, written plainly and densely.

Dense N x N matrices, full sorts and Python loops are the point: this is what the product's blocked
and sparse code is compared with. Nothing in the product imports this module.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def dense_nfc(features: Floats, k1: int, k2: int) -> Floats:
    """Neighbour centralization from the whole distance matrix, with loops over rows."""
    x = torch.nn.functional.normalize(torch.from_numpy(features))
    squares = (x * x).sum(dim=1)
    distances = squares[:, None] + squares[None, :] - 2 * x @ x.T
    distances.fill_diagonal_(1000.0)
    ranks = distances.topk(k1, dim=1, largest=False).indices
    mutual = []
    for i in range(len(x)):
        near = ranks[i]
        back = ranks[near][:, :k2]
        mutual.append(near[(back == i).any(dim=1)])
    centralized = x.clone()
    for i in range(len(x)):
        centralized[i] += x[mutual[i]].sum(dim=0)
    result: Floats = torch.nn.functional.normalize(centralized).numpy()
    return result


def dense_distances(query: Floats, gallery: Floats) -> Floats:
    """All squared distances as one matrix."""
    q, g = torch.from_numpy(query), torch.from_numpy(gallery)
    matrix = (q * q).sum(dim=1, keepdim=True) + (g * g).sum(dim=1)[None, :]
    matrix.addmm_(q, g.T, beta=1, alpha=-2)
    result: Floats = matrix.numpy()
    return result


def argsort_scores(
    distances: Floats,
    query_pids: NDArray[np.int64],
    gallery_pids: NDArray[np.int64],
    query_camids: NDArray[np.int64],
    gallery_camids: NDArray[np.int64],
    max_rank: int = 50,
) -> tuple[NDArray[np.float64], float]:
    """CMC and mAP as most ReID code computes them: sort every row, then loop over queries."""
    order = np.argsort(distances, axis=1)
    matches = (gallery_pids[order] == query_pids[:, None]).astype(np.int32)
    curves, precisions = [], []
    for q in range(len(distances)):
        junk = (gallery_pids[order[q]] == query_pids[q]) & (
            gallery_camids[order[q]] == query_camids[q]
        )
        hits = matches[q][~junk]
        if not hits.any():
            continue
        curve = hits.cumsum()
        n_hits = hits.sum()
        precision = curve / (np.arange(len(curve)) + 1.0)
        precisions.append((precision * hits).sum() / n_hits)
        curve[curve > 1] = 1
        curves.append(curve[:max_rank])
    cmc = np.asarray(curves, dtype=np.float32).sum(axis=0) / len(curves)
    return cmc, float(np.mean(precisions))


def dense_rerank(
    query: Floats,
    gallery: Floats,
    k1: int,
    k2: int,
    lambda_value: float,
    dtype: type[np.floating] = np.float16,
) -> Floats:
    """k-reciprocal re-ranking with five dense matrices; its encodings are float16 as published."""
    features = np.concatenate([query, gallery])
    n_queries, n = len(query), len(features)
    distances = dense_distances(features, features)
    distances = np.transpose(distances / np.max(distances, axis=0))
    encoding = np.zeros_like(distances, dtype=dtype)
    order = np.argsort(distances).astype(np.int32)

    def reciprocal(i: int, k: int) -> NDArray[np.int32]:
        forward = order[i, : k + 1]
        return forward[np.where(order[forward, : k + 1] == i)[0]]

    for i in range(n):
        near = reciprocal(i, k1)
        members = near
        for candidate in near:
            theirs = reciprocal(candidate, int(np.around(k1 / 2)))
            if len(np.intersect1d(theirs, near)) > 2 / 3 * len(theirs):
                members = np.append(members, theirs)
        members = np.unique(members)
        weight = np.exp(-distances[i, members])
        encoding[i, members] = weight / np.sum(weight)
    distances = distances[:n_queries]
    if k2 != 1:
        expanded = np.zeros_like(encoding)
        for i in range(n):
            expanded[i] = np.mean(encoding[order[i, :k2]], axis=0)
        encoding = expanded
    holders = [np.where(encoding[:, i] != 0)[0] for i in range(n)]
    jaccard = np.zeros_like(distances, dtype=dtype)
    for i in range(n_queries):
        shared = np.zeros(n, dtype=dtype)
        for column in np.where(encoding[i] != 0)[0]:
            images = holders[column]
            shared[images] += np.minimum(encoding[i, column], encoding[images, column])
        jaccard[i] = 1 - shared / (2 - shared)
    final = jaccard * (1 - lambda_value) + distances * lambda_value
    return final[:, n_queries:]
