"""Time and peak memory of a call, and features that look like a ReID network's."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

Result = TypeVar("Result")


@dataclass(frozen=True)
class Cost:
    """What a call took: best wall time, its processor time, and memory above what was there."""

    seconds: float
    cpu_seconds: float
    peak_mib: float

    def __str__(self) -> str:
        return f"{self.seconds:9.3f} s wall {self.cpu_seconds:9.3f} s cpu {self.peak_mib:8.0f} MiB"


def measured(call: Callable[[], Result], repeats: int = 1) -> tuple[Result, Cost]:
    """Runs a call and measures it; time is the best of the repeats, memory the largest."""
    best, cpu, peak = float("inf"), float("inf"), 0.0
    result = None
    for _ in range(repeats):
        del result  # the last repeat's result must not count as this one's memory
        before = _reset_peak()
        wall_start, cpu_start = time.perf_counter(), time.process_time()
        result = call()
        wall, spent = time.perf_counter() - wall_start, time.process_time() - cpu_start
        if wall < best:
            best, cpu = wall, spent
        peak = max(peak, _status("VmHWM") - before)
    return result, Cost(best, cpu, peak)


def total_peak_mib() -> float:
    """Largest resident memory of the process since the last measurement began."""
    return _status("VmHWM")


def _reset_peak() -> float:
    """Resets the kernel's high-water mark of this process and returns its memory now (Linux)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")


def _status(name: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise KeyError(name)


def print_machine() -> None:
    """One line on what the figures below were measured on."""
    print(
        f"# {platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, numpy {np.__version__}, "
        f"load before the run {os.getloadavg()[0]:.1f}"
    )


def print_line(name: str, cost: Cost, ours: Cost | None = None) -> None:
    """One result; with `ours`, how many times slower and larger this one is."""
    ratio = ""
    if ours is not None:
        memory = cost.peak_mib / max(ours.peak_mib, 1)
        ratio = f"   ours is {cost.seconds / ours.seconds:6.1f}x faster, {memory:6.1f}x smaller"
    print(f"{name:44s} {cost}{ratio}", flush=True)


def reid_features(
    pids: NDArray[np.int64], dim: int, noise: float, seed: int
) -> NDArray[np.float32]:
    """Normalised features: a centre per identity, plus noise per image; pid 0 has no centre.

    Args:
        pids: `(N,)`; the same pid has the same centre in every call.
        dim: Dimensions.
        noise: Length of the noise against the centre's.
        seed: Seed of the noise.

    Returns:
        `(N, dim) float32`, rows of norm 1.
    """
    centers = np.random.default_rng(0).standard_normal((int(pids.max()) + 1, dim), np.float32)
    features = np.random.default_rng(seed + 1).standard_normal((len(pids), dim), np.float32)
    for start in range(0, len(pids), 4096):
        part = features[start : start + 4096]
        own = pids[start : start + 4096]
        part *= np.where(own > 0, noise, np.hypot(noise, 1)).astype(np.float32)[:, None]
        part += centers[own] * (own > 0)[:, None]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return features


@dataclass(frozen=True)
class Benchmark:
    """A labelled problem of a public benchmark's size, with invented features."""

    query: NDArray[np.float32]
    gallery: NDArray[np.float32]
    query_pids: NDArray[np.int64]
    gallery_pids: NDArray[np.int64]
    query_camids: NDArray[np.int64]
    gallery_camids: NDArray[np.int64]


def benchmark_like(name: str, dim: int, noise: float) -> Benchmark:
    """Sizes, identities and cameras of `market` (Market-1501) or `msmt17`."""
    n_query, n_gallery, n_identities, n_cameras, n_distractors = {
        "market": (3368, 15913, 750, 6, 2798),
        "msmt17": (11659, 82161, 3060, 15, 0),
    }[name]
    rng = np.random.default_rng(0)
    query_pids = rng.integers(1, n_identities + 1, n_query)
    gallery_pids = rng.integers(1, n_identities + 1, n_gallery)
    gallery_pids[rng.permutation(n_gallery)[:n_distractors]] = 0
    return Benchmark(
        reid_features(query_pids, dim, noise, seed=1),
        reid_features(gallery_pids, dim, noise, seed=2),
        query_pids,
        gallery_pids,
        rng.integers(0, n_cameras, n_query),
        rng.integers(0, n_cameras, n_gallery),
    )
