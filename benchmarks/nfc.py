"""Neighbour centralization against the dense procedure; large sizes alone.

python -m benchmarks.nfc                       N = 20,000, D = 768, against the dense procedure
python -m benchmarks.nfc --n 82161 --alone     MSMT17's gallery
python -m benchmarks.nfc --n 1000000 --dim 256 --method ivf --alone
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from benchmarks.measure import measured, print_line, print_machine, reid_features, total_peak_mib
from benchmarks.peers import dense_nfc
from pose2id.neighbors import nearest_neighbors
from pose2id.steps.nfc import nfc


def matmul_rate(dtype: torch.dtype, dim: int) -> float:
    """Best rate of a large square product on this machine now, in GFLOP/s."""
    x = torch.randn(4096, dim).to(dtype)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        x @ x.T
        best = min(best, time.perf_counter() - start)
    return 2 * 4096**2 * dim / best / 1e9


def main() -> None:
    """Runs the comparison that the options ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--noise", type=float, default=1.0)
    parser.add_argument("--k", type=int, default=2)
    parser.add_argument("--method", choices=["exact", "ivf", "hnsw"], default="exact")
    parser.add_argument("--effort", type=int, default=16)
    parser.add_argument("--alone", action="store_true", help="leave the dense procedure out")
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    n, dim, k = arguments.n, arguments.dim, arguments.k
    print_machine()
    pids = np.random.default_rng(0).integers(1, n // 20 + 2, n)
    features = reid_features(pids, dim, arguments.noise, seed=1)
    print(f"# N = {n}, D = {dim}, k1 = k2 = {k}, features {features.nbytes / 2**20:.0f} MiB")

    def ours() -> tuple[np.ndarray, float | None]:
        table = nearest_neighbors(features, k, method=arguments.method, effort=arguments.effort)
        return nfc(features, k, k, neighbors=table), table.recall

    (centralized, recall), cost = measured(ours, arguments.repeats)
    print_line(f"ours ({arguments.method})", cost)
    print(f"ours, whole process {total_peak_mib():.0f} MiB; recall@{k} {recall}")
    if arguments.method == "exact" and not arguments.alone:
        rough = measured(lambda: nearest_neighbors(features, k), arguments.repeats)[1]
        print_line("  of which neighbours", rough)
        half = n * n * dim / rough.seconds / 1e9  # symmetry: half of 2 * N^2 * D
        rates = {name: matmul_rate(getattr(torch, name), dim) for name in ("float32", "bfloat16")}
        print(
            f"  {half:.0f} GFLOP/s done ({2 * half:.0f} of the full product's); this machine's "
            f"products: float32 {rates['float32']:.0f}, bfloat16 {rates['bfloat16']:.0f}"
        )
    if not arguments.alone:
        dense, peer = measured(lambda: dense_nfc(features, k, k), arguments.repeats)
        print_line("dense procedure", peer, cost)
        print(f"largest difference {np.abs(dense - centralized).max():.1e}")


if __name__ == "__main__":
    main()
