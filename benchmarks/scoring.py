"""Scoring against sorting: the argsort loop, and torchreid's evaluate_rank where it is at hand.

python -m benchmarks.scoring                   Market-1501's size, from distances and from features
python -m benchmarks.scoring --size msmt17     MSMT17's size, from features, ours alone

torchreid is never a dependency; the comparison reads its one module from a folder of its own:
pip install --no-deps --target .cache/peers torchreid==0.2.5
"""

from __future__ import annotations

import argparse
import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import (
    Benchmark,
    benchmark_like,
    measured,
    print_line,
    print_machine,
    total_peak_mib,
)
from benchmarks.peers import argsort_scores, dense_distances
from pose2id.metrics import DistanceSource, Evaluation, FeatureDistances, MatrixDistances, evaluate

TORCHREID = Path(".cache/peers/torchreid/reid/metrics/rank.py")


def torchreid_rank() -> Callable[..., Any] | None:
    """The evaluate_rank of torchreid without the rest of it; None where it is not installed."""
    if not TORCHREID.exists():
        print("torchreid is left out: it is not in .cache/peers (see --help)")
        return None
    spec = importlib.util.spec_from_file_location("torchreid_rank", TORCHREID)
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it recommends building its Cython extension
        spec.loader.exec_module(module)
    return module.evaluate_rank


def labels(data: Benchmark) -> tuple[NDArray[np.int64], ...]:
    """Labels in the order that the peers take."""
    return data.query_pids, data.gallery_pids, data.query_camids, data.gallery_camids


def score(data: Benchmark, distances: DistanceSource, top_k: int) -> Evaluation:
    """Ours, with the benchmark's labels."""
    names = ("query_pids", "gallery_pids", "query_camids", "gallery_camids")
    return evaluate(distances, **dict(zip(names, labels(data), strict=True)), top_k=top_k)


def from_distances(data: Benchmark, repeats: int) -> None:
    """Ours against both peers, each given the same matrix."""
    matrix = dense_distances(data.query, data.gallery)
    given = MatrixDistances(matrix)
    result, ours = measured(lambda: score(data, given, 0), repeats)
    print_line("from distances: ours", ours)
    lists = measured(lambda: score(data, given, 50), repeats)[1]
    print_line("from distances: ours with top-50 lists", lists)
    (cmc, mean_ap), peer = measured(lambda: argsort_scores(matrix, *labels(data)), repeats)
    print_line("from distances: argsort loop", peer, ours)
    gap = np.abs(result.cmc - cmc).max()
    print(f"  mAP {result.mAP:.6f} and {mean_ap:.6f}, largest CMC difference {gap:.1e}")
    evaluate_rank = torchreid_rank()
    if evaluate_rank is not None:
        (_, mean_ap), theirs = measured(lambda: evaluate_rank(matrix, *labels(data)), repeats)
        print_line("from distances: torchreid 0.2.5", theirs, ours)
        print(f"  mAP {mean_ap:.6f}")


def from_features(data: Benchmark, repeats: int) -> None:
    """Ours against both peers, each with its own way to distances."""

    def ours_with(top_k: int) -> Evaluation:
        return score(data, FeatureDistances(data.query, data.gallery), top_k)

    def theirs_with(peer: Callable[..., Any]) -> Any:  # noqa: ANN401 - what a peer returns
        return peer(dense_distances(data.query, data.gallery), *labels(data))

    ours = measured(lambda: ours_with(0), repeats)[1]
    print_line("from features: ours", ours)
    print_line("from features: ours with top-50 lists", measured(lambda: ours_with(50), repeats)[1])
    peer = measured(lambda: theirs_with(argsort_scores), repeats)[1]
    print_line("from features: argsort loop", peer, ours)
    evaluate_rank = torchreid_rank()
    if evaluate_rank is not None:
        theirs = measured(lambda: theirs_with(evaluate_rank), repeats)[1]
        print_line("from features: torchreid 0.2.5", theirs, ours)


def main() -> None:
    """Runs the comparison that the options ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=["market", "msmt17"], default="market")
    parser.add_argument("--noise", type=float, default=2.3, help="2.3: mAP about .8; 4: hard")
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    print_machine()
    data = benchmark_like(arguments.size, 768, arguments.noise)
    print(f"# {len(data.query)} queries, {len(data.gallery)} gallery images, D = 768")
    if arguments.size == "market":
        from_distances(data, arguments.repeats)
        from_features(data, arguments.repeats)
        return
    result, cost = measured(
        lambda: score(data, FeatureDistances(data.query, data.gallery), 50), arguments.repeats
    )
    print_line("from features: ours with top-50 lists", cost)
    print(f"mAP {result.mAP:.4f}, whole process {total_peak_mib():.0f} MiB")


if __name__ == "__main__":
    main()
