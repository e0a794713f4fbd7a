"""Feature extraction: `pose2id.extractors.batching.extract` against a plain loop and no decoding.

The peer is what most re-identification scripts do: open a picture with Pillow, resize it, run the
network on it, next. `network alone` is given batches of pictures that are decoded already: what
decoding costs is missing from it. Same network, same pictures, same process, the network on one
thread as in the pipeline; all are timed in turns and the median of the rounds counts.

    python -m benchmarks.extraction
    python -m benchmarks.extraction --images FOLDER --rounds 5
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from pose2id.datasets.images import decode_rgb
from pose2id.extractors.base import Extractor
from pose2id.extractors.batching import extract
from pose2id.extractors.preprocess import resize
from pose2id.extractors.registry import load_extractor
from pose2id.machine import compute_on_one_thread
from pose2id.speed import keep_freed_memory


def main() -> None:
    """Prints pictures per second of both and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="folder of pictures; by default drawn ones")
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    compute_on_one_thread()
    keep_freed_memory()
    extractor = load_extractor("efficientnet_lite0", device=arguments.device)
    encoded = _pictures(arguments.images, arguments.count)
    spec, size = extractor.input_spec, arguments.batch_size
    decoded = np.stack([resize(decode_rgb(data), spec) for data in encoded])

    def ours() -> None:
        extract(extractor, [lambda data=data: data for data in encoded], arguments.batch_size)

    def loop() -> None:
        one_by_one(extractor, encoded)

    def alone() -> None:
        for start in range(0, len(decoded), size):
            extractor(decoded[start : start + size])

    ways = {"extract": ours, "one by one": loop, "network alone": alone}
    speeds, cpu_ms = _compare(ways, arguments.rounds, len(encoded))
    for name, rounds in speeds.items():
        shown = " ".join(f"{speed:.0f}" for speed in rounds)
        ratios = [a / b for a, b in zip(speeds["extract"], rounds, strict=True)]
        print(
            f"{name:>14}: {statistics.median(rounds):7.1f} pictures/s, extract is "
            f"{statistics.median(ratios):5.2f}x; {cpu_ms[name]:6.2f} ms of processor time, extract "
            f"is {cpu_ms[name] / cpu_ms['extract']:5.2f}x  (rounds: {shown})"
        )


def one_by_one(extractor: Extractor, encoded: list[bytes]) -> np.ndarray:
    """The peer: no batches, no threads."""
    size = (extractor.input_spec.width_px, extractor.input_spec.height_px)
    features = []
    for data in encoded:
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        resized = picture.resize(size, Image.Resampling.BILINEAR)
        features.append(extractor(np.asarray(resized)[None])[0])
    return np.stack(features)


def _pictures(folder: Path | None, count: int) -> list[bytes]:
    """JPEG files of a folder, or smooth drawn pictures of Market-1501's size."""
    if folder is not None:
        return [path.read_bytes() for path in sorted(folder.glob("*.jpg"))[:count]]
    rng = np.random.default_rng(0)
    encoded = []
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (16, 8, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((64, 128), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=95)
        encoded.append(buffer.getvalue())
    return encoded


def _compare(
    candidates: dict[str, Callable[[], None]], rounds: int, n_pictures: int
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Pictures a second of each candidate in each round, after one round to warm up.

    Returns:
        Pictures a second by the clock, and the least processor time of a picture in ms.
    """
    speeds: dict[str, list[float]] = {name: [] for name in candidates}
    cpu_ms = dict.fromkeys(candidates, float("inf"))
    for round_number in range(rounds + 1):
        for name, run in candidates.items():
            start, cpu = time.perf_counter(), time.process_time()
            run()
            if round_number:
                speeds[name].append(n_pictures / (time.perf_counter() - start))
                spent = 1e3 * (time.process_time() - cpu) / n_pictures
                cpu_ms[name] = min(cpu_ms[name], spent)
    return speeds, cpu_ms


if __name__ == "__main__":
    main()
