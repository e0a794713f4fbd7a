"""Scores of features on disk: the whole process's seconds and memory.

    python -m benchmarks.score_features             # Market-1501's size: 3,368 x 15,913 x 768
    python -m benchmarks.score_features --million   # 1,000 queries, a million images, 256 numbers

Beside it stands the plainest peer, in a process of its own too: all distances in one matrix by
numpy, each row sorted, average precision from the order. It gives the base scores alone.
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import processes

MARKET = (3368, 15913, 768, 750)
MILLION = (1000, 1_000_000, 256, 5000)
CAMERAS = 6
NOISE = 2.0  # of a centre's own spread: mAP as that of a good network

PEER = """
import csv, sys
import numpy as np
query, gallery = (np.load(path) for path in sys.argv[1:3])
rows = list(csv.DictReader(open(sys.argv[3])))
pid, cam = (np.array([int(row[name]) for row in rows]) for name in ("pid", "camid"))
n = len(query)
query, gallery = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (query, gallery))
order = np.argsort(-(query @ gallery.T), axis=1, kind="stable")
precisions = []
for row, ranked in enumerate(order):
    same = pid[n:][ranked] == pid[row]
    match = same[~(same & (cam[n:][ranked] == cam[row]))]
    ranks = np.flatnonzero(match) + 1
    if len(ranks):
        precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
print("mAP", round(float(np.mean(precisions)), 4))
"""


def write(folder: Path, sizes: tuple[int, int, int, int]) -> list[str]:
    """Noisy identity centres of the wanted size; the gallery is written piece by piece."""
    n_query, n_gallery, dim, identities = sizes
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(identities, dim)).astype(np.float32)
    paths = []
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        labels = csv.writer(file)
        labels.writerow(["set", "pid", "camid"])
        for name, count in (("query", n_query), ("gallery", n_gallery)):
            path = folder / f"{name}.npy"
            out = np.lib.format.open_memmap(path, "w+", np.float32, (count, dim))
            for start in range(0, count, 50_000):
                part = slice(start, min(count, start + 50_000))
                pids = rng.integers(0, identities, part.stop - start)
                cams = rng.integers(0, CAMERAS, part.stop - start)
                noise = rng.normal(0, NOISE, (len(pids), dim)).astype(np.float32)
                out[part] = centres[pids] + noise
                rows = np.stack([pids, cams], axis=1).tolist()
                labels.writerows([name, *row] for row in rows)
            out.flush()
            paths.append(str(path))
    return [*paths, str(folder / "labels.csv")]


def main() -> None:
    """Prints ours and, at Market-1501's size, the peer's."""
    million = "--million" in sys.argv
    sizes = MILLION if million else MARKET
    with tempfile.TemporaryDirectory() as name:
        query, gallery, labels = write(Path(name), sizes)
        files = ["--query", query, "--gallery", gallery, "--labels", labels]
        runs = [("base", ["--variants", "base"])]
        if not million:
            runs.append(("base, nfc, camera, nfc_rerank", []))
        print(f"{sizes[0]:,} x {sizes[1]:,} x {sizes[2]}, {os.cpu_count()} cores")
        if not million:
            used, output, _ = processes.run([sys.executable, "-c", PEER, query, gallery, labels])
            print(f"peer (numpy, base alone): {used}; {output.strip()}")
        for label, options in runs:
            used, output, _ = processes.run(
                [sys.executable, "-m", "pose2id", "score", *files, *options]
            )
            print(f"ours ({label}): {used}\n{output}")


if __name__ == "__main__":
    main()
