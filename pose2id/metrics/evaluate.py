"""CMC, mAP and mINP from the ranks of each query's positives, in blocks of queries.

Ranks are counted, the gallery is never sorted, and nothing larger than a block of distances is
ever held.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose2id.distances import DistanceSource
from pose2id.errors import DataError
from pose2id.features import Floats, Ints
from pose2id.metrics.evaluation import Evaluation, Rankings
from pose2id.metrics.labels import UNKNOWN, Labels
from pose2id.metrics.protocols import (
    Protocol,
    SingleShotDraws,
    average_precision,
    check_protocol,
)
from pose2id.metrics.ranks import RankCounter, nearest
from pose2id.metrics.verification import Verification


def evaluate(
    distances: DistanceSource,
    query_pids: ArrayLike | None,
    gallery_pids: ArrayLike | None,
    query_camids: ArrayLike | None = None,
    gallery_camids: ArrayLike | None = None,
    *,
    distractors: ArrayLike | None = None,
    protocol: Protocol = "market",
    n_draws: int = 10,
    seed: int = 0,
    false_positive_rates: tuple[float, ...] = (),
    top_k: int = 50,
    max_rank: int = 50,
    memory_mib: int = 32,
) -> Evaluation:
    """Scores queries against a gallery.

    Kept gallery images of a query are all but its junk: same identity and same camera, both cameras
    known. Distances tie to the lower gallery index.

    Args:
        distances: Where the distances come from, (Q, G).
        query_pids: `(Q,)` whole numbers, -1 = unknown; None = no labels at all.
        gallery_pids: `(G,)` likewise. Pid 0 is an identity like any other, see `distractors`.
        query_camids: `(Q,)` whole numbers, -1 = unknown; None = no cameras.
        gallery_camids: `(G,)` likewise.
        distractors: `(G,) bool`, gallery images that match no query whatever their pid.
        protocol: `market`: AP is the mean precision at the hits. `trapezoidal`: the same ranks, AP
            as the area under the trapezoids of the precision-recall curve. `single_gallery_shot`:
            repeated draws of one gallery image per identity (CUHK03's classic protocol).
        n_draws: Draws of `single_gallery_shot`; results are means over them.
        seed: Seed of the draws.
        false_positive_rates: Rates for which to report the true positive rate of verification over
            all kept pairs; pairs whose distances agree to float32 rounding may change sides.
        top_k: Length of the ranked lists, 0 for none.
        max_rank: Length R of the CMC curve.
        memory_mib: Bound on a block of distances; more is not faster.

    Returns:
        The scores; without pids only ranked lists, every query not valid and every mean NaN.

    Raises:
        DataError: Unusable labels, or labels with which no query has a positive.
        ParamsError: Unknown protocol, or a number out of range.
    """
    check_protocol(protocol, n_draws)
    labels = Labels(
        distances.shape, query_pids, gallery_pids, query_camids, gallery_camids, distractors
    )
    n_queries, n_gallery = distances.shape
    matches, left_out = labels.same_person()
    n_positives = np.array([len(positives) for positives in matches])
    valid = n_positives > 0
    if query_pids is not None and gallery_pids is not None and not valid.any():
        raise DataError(
            f"none of the {n_queries} queries has a positive among {n_gallery} gallery images "
            "once the query's own camera is left out. Check pids and camids of both sides."
        )
    verification = Verification(false_positive_rates, _count_impostors(labels, matches, left_out))
    draws = SingleShotDraws(labels, n_draws, seed) if protocol == "single_gallery_shot" else None
    lists = _empty_lists(n_queries, min(top_k, n_gallery))
    ap, inp = np.full(n_queries, np.nan), np.full(n_queries, np.nan)
    first_hits = np.zeros((n_queries, 1 if draws is None else n_draws), dtype=np.int64)

    exact_distances = _exact_positives(distances, matches)
    counter = RankCounter(distances)
    rows_per_block = max(1, memory_mib * 2**20 // (8 * n_gallery))
    for start in range(0, n_queries, rows_per_block):
        block = distances.block(start, min(start + rows_per_block, n_queries))
        counted: dict[int, list[Ints]] = {}
        for query, row in enumerate(block, start):
            if top_k:
                _list(lists, row, distances, labels, query)
            positives, junk = matches[query], left_out[query]
            exact = exact_distances[query]
            if false_positive_rates and labels.query_pids[query] != UNKNOWN:
                verification.add(row, np.concatenate([positives, junk]), exact)
            if not valid[query]:
                continue
            if draws is None:
                counted[query] = [counter.count(query, row, positives, exact, junk)]
            else:
                counted[query] = draws.count(counter, query, row, positives, exact, junk)
        counter.settle()
        for query, parts in counted.items():
            if draws is None:
                ranks = np.sort(parts[0])
                first_hits[query], inp[query] = ranks[0], len(ranks) / ranks[-1]
                ap[query] = average_precision(ranks, protocol == "trapezoidal")
            else:
                first_hits[query] = np.concatenate(parts)
                ap[query] = inp[query] = (1 / first_hits[query]).mean()
    return Evaluation(
        protocol=protocol,
        ap=ap,
        inp=inp,
        first_hit_rank=np.sort(first_hits, axis=1)[:, (first_hits.shape[1] - 1) // 2],
        n_positives=n_positives,
        valid=valid,
        cmc=_curve(first_hits[valid], max_rank),
        mAP=float(ap[valid].mean()) if valid.any() else float("nan"),
        mINP=float(inp[valid].mean()) if valid.any() else float("nan"),
        tpr_at_fpr=verification.true_positive_rates(),
        rankings=lists if top_k else None,
    )


def _count_impostors(labels: Labels, matches: list[Ints], left_out: list[Ints]) -> int:
    """Pairs of a labelled query and a gallery image that is neither positive nor junk."""
    n_same = sum(map(len, matches)) + sum(map(len, left_out))
    n_known = int(np.count_nonzero(labels.query_pids != UNKNOWN))
    return n_known * len(labels.gallery_pids) - n_same


def _exact_positives(distances: DistanceSource, matches: list[Ints]) -> list[Floats]:
    """Exact distances of the positives, `(P,)` per query."""
    sizes = np.array([len(positives) for positives in matches])
    queries = np.repeat(np.arange(len(sizes)), sizes)
    return np.split(distances.exact(queries, np.concatenate(matches)), sizes.cumsum()[:-1])


def _empty_lists(n_queries: int, length: int) -> Rankings:
    shape = (n_queries, length)
    return Rankings(
        np.empty(shape, np.int64),
        np.empty(shape, np.float32),
        np.empty(shape, np.bool_),
        np.empty(shape, np.bool_),
    )


def _list(
    lists: Rankings, row: Floats, distances: DistanceSource, labels: Labels, query: int
) -> None:
    gallery, exact = nearest(row, lists.gallery.shape[1], distances, query)
    lists.gallery[query], lists.distance[query] = gallery, exact
    lists.is_match[query], lists.is_junk[query] = labels.describe(query, gallery)


def _curve(first_hits: Ints, max_rank: int) -> NDArray[np.float64]:
    """CMC of `(V, draws)` ranks of the nearest positive; NaN without a valid query."""
    if not first_hits.size:
        return np.full(max_rank, np.nan)
    counts = np.bincount(np.minimum(first_hits.ravel(), max_rank + 1), minlength=max_rank + 2)
    curve: NDArray[np.float64] = counts[1 : max_rank + 1].cumsum() / first_hits.size
    return curve
