"""How time and memory grow with the number of images: a plot with fitted exponents.

python -m benchmarks.scaling --out docs/scaling.png
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np

from benchmarks.measure import Cost, measured, print_machine, reid_features
from pose2id.metrics import evaluate
from pose2id.steps.nfc import nfc
from pose2id.steps.rerank import k_reciprocal

DIM = 256
IMAGES_PER_IDENTITY = 20
Run = Callable[[np.ndarray, np.ndarray], object]


def score(features: np.ndarray, pids: np.ndarray) -> object:
    """One query to four gallery images, as in Market-1501."""
    q = len(features) // 5
    return evaluate(features[:q], features[q:], query_pids=pids[:q], gallery_pids=pids[q:])


def rerank(features: np.ndarray, pids: np.ndarray) -> object:
    """Re-ranking 20 / 6 / 0.3 and scoring of the same split."""
    q = len(features) // 5
    return evaluate(
        k_reciprocal(features[:q], features[q:]), query_pids=pids[:q], gallery_pids=pids[q:]
    )


RUNS: dict[str, Run] = {
    "centralization (NFC)": lambda features, pids: nfc(features),
    "scoring from features": score,
    "re-ranking and scoring": rerank,
}


def exponent(sizes: list[int], values: list[float]) -> float:
    """Slope of the least-squares line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-9)), 1)[0])


def plot(sizes: list[int], costs: dict[str, list[Cost]], out: Path) -> None:
    """Two panels, both axes logarithmic: processor time and memory."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for panel, field, label in zip(
        panels,
        ("cpu_seconds", "peak_mib"),
        ("processor time (s)", "peak memory above the features (MiB)"),
        strict=True,
    ):
        for name, points in costs.items():
            values = [getattr(cost, field) for cost in points]
            slope = exponent(sizes[-4:], values[-4:])
            panel.loglog(sizes, values, marker="o", label=f"{name}: N^{slope:.2f}")
        panel.set(xlabel="images N", ylabel=label)
        panel.set_xticks(sizes, [f"{size:,}" for size in sizes])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    figure.suptitle(f"D = {DIM}; exponents fitted to the four largest sizes")
    figure.savefig(out, dpi=120)


def main() -> None:
    """Measures every size, prints a table and draws the plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/scaling.png"))
    parser.add_argument("--largest", type=int, default=64_000)
    parser.add_argument("--noise", type=float, default=1.5)
    arguments = parser.parse_args()
    print_machine()
    sizes = [arguments.largest // 2**step for step in reversed(range(6))]
    costs: dict[str, list[Cost]] = {name: [] for name in RUNS}
    for size in sizes:
        pids = np.random.default_rng(0).integers(1, size // IMAGES_PER_IDENTITY + 2, size)
        features = reid_features(pids, DIM, arguments.noise, seed=1)
        for name, run in RUNS.items():
            cost = measured(lambda run=run: run(features, pids))[1]  # noqa: B023 - called at once
            costs[name].append(cost)
            print(f"{size:8d} {name:24s} {cost}", flush=True)
    for name, points in costs.items():
        times = [cost.cpu_seconds for cost in points]
        memory = [cost.peak_mib for cost in points]
        print(
            f"{name:24s} time N^{exponent(sizes[-4:], times[-4:]):.2f}, "
            f"memory N^{exponent(sizes[-4:], memory[-4:]):.2f}"
        )
    plot(sizes, costs, arguments.out)


if __name__ == "__main__":
    main()
