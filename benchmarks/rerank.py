"""k-reciprocal re-ranking against the dense original; MSMT17's size alone.

python -m benchmarks.rerank                    Market-1501's size, 20 / 6 / 0.3
python -m benchmarks.rerank --k1 50 --k2 15    as TransReID runs it
python -m benchmarks.rerank --size msmt17
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.measure import (
    Benchmark,
    benchmark_like,
    measured,
    print_line,
    print_machine,
    total_peak_mib,
)
from benchmarks.peers import argsort_scores, dense_rerank
from pose2id.metrics import Evaluation, evaluate
from pose2id.steps.rerank import k_reciprocal


def ours(data: Benchmark, k1: int, k2: int, precision: str) -> Evaluation:
    """Re-ranking and scoring in one, so that no matrix is ever whole."""
    return evaluate(
        k_reciprocal(data.query, data.gallery, k1, k2, 0.3, precision=precision),
        query_pids=data.query_pids,
        gallery_pids=data.gallery_pids,
        query_camids=data.query_camids,
        gallery_camids=data.gallery_camids,
        top_k=0,
    )


def dense(data: Benchmark, k1: int, k2: int) -> tuple[np.ndarray, float]:
    """The original and the argsort loop."""
    return argsort_scores(
        dense_rerank(data.query, data.gallery, k1, k2, 0.3),
        data.query_pids,
        data.gallery_pids,
        data.query_camids,
        data.gallery_camids,
    )


def main() -> None:
    """Runs the comparison that the options ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=["market", "msmt17"], default="market")
    parser.add_argument("--k1", type=int, default=20)
    parser.add_argument("--k2", type=int, default=6)
    parser.add_argument("--noise", type=float, default=2.3)
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    k1, k2 = arguments.k1, arguments.k2
    print_machine()
    data = benchmark_like(arguments.size, 768, arguments.noise)
    print(f"# {len(data.query)} + {len(data.gallery)} images, D = 768, k1 = {k1}, k2 = {k2}")
    result, cost = measured(lambda: ours(data, k1, k2, "float32"), arguments.repeats)
    print_line("ours, re-ranked and scored", cost)
    print(f"  mAP {result.mAP:.6f}, whole process {total_peak_mib():.0f} MiB")
    if arguments.size == "market":
        result, half = measured(lambda: ours(data, k1, k2, "float16"), arguments.repeats)
        print_line("ours with the original's roundings", half)
        print(f"  mAP {result.mAP:.6f}")
        (_, mean_ap), peer = measured(lambda: dense(data, k1, k2), arguments.repeats)
        print_line("dense original (float16) and argsort loop", peer, cost)
        print(f"  mAP {mean_ap:.6f}")


if __name__ == "__main__":
    main()
