"""Drawings as files, and photographs read: time and bytes of each setting that loses nothing.

    python -m benchmarks.pictures        the demo's own pictures; run `make demo` first

Processor time of one picture on one thread, the best of the rounds; `now` marks what the stage
`generate` writes. JPEG files are read by Pillow and, where it is installed, by simplejpeg.
"""

from __future__ import annotations

import argparse
import io
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pose2id.datasets.images import decode_rgb
from tasks.stages.generate import ENCODING
from tasks.tables.schema import Layout
from tasks.tables.store import read_table

Pixels = NDArray[np.uint8]
SETTINGS: tuple[tuple[str, dict[str, Any]], ...] = (
    *(("png", {"compress_level": level}) for level in (0, 1, 3, 6, 9)),
    ("png", {"compress_type": zlib.Z_HUFFMAN_ONLY}),
    ("png", {"compress_type": zlib.Z_RLE}),
    ("webp", {"lossless": True}),
    *(
        ("webp", {"lossless": True, "method": method, "quality": quality})
        for method, quality in ((0, 0), (0, 80), (1, 0), (2, 0), (4, 0))
    ),
)


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(), help="a project that has run")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    parts = sorted(Layout(arguments.root).generated("query").glob("*.parquet"))
    files = [data for part in parts for data in read_table(part, ["image"])["image"].to_pylist()]
    if not files:
        parser.error(f"{arguments.root} has no drawings of a split query; run make demo")
    step = -(-len(files) // arguments.count)
    drawings = [np.asarray(decode_rgb(data)) for data in files[::step]]
    print(f"{len(drawings)} drawings of {drawings[0].shape[1]}x{drawings[0].shape[0]}")
    for file_format, options in SETTINGS:
        _encoding(file_format, options, drawings, arguments.rounds)
    photographs = sorted((arguments.root / "data/demo/market").rglob("*.jpg"))[: arguments.count]
    _decoding([path.read_bytes() for path in photographs], arguments.rounds)


def _encoding(
    file_format: str, options: dict[str, Any], drawings: Sequence[Pixels], rounds: int
) -> None:
    def encode(picture: Pixels) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, format=file_format, **options)
        return buffer.getvalue()

    ms, encoded = _timed(encode, drawings, rounds)
    back_ms, back = _timed(lambda data: np.asarray(decode_rgb(data)), encoded, rounds)
    assert all((a == b).all() for a, b in zip(back, drawings, strict=True))
    n_bytes = sum(map(len, encoded)) / len(encoded)
    now = "  now" * (ENCODING[file_format] == options)
    name = f"{file_format} {', '.join(f'{k} {v}' for k, v in options.items())}"
    print(f"{name:46}{ms:8.2f} ms {n_bytes:8.0f} bytes, read in {back_ms:.2f} ms{now}", flush=True)


def _decoding(encoded: Sequence[bytes], rounds: int) -> None:
    print(f"{len(encoded)} photographs")
    ms, by_pillow = _timed(lambda data: np.asarray(decode_rgb(data)), encoded, rounds)
    print(f"{'Pillow':46}{ms:8.2f} ms")
    try:
        import simplejpeg
    except ImportError:
        print("simplejpeg is not installed")
        return
    ms, by_simplejpeg = _timed(simplejpeg.decode_jpeg, encoded, rounds)
    largest = max(
        int(np.abs(a.astype(int) - b).max()) for a, b in zip(by_pillow, by_simplejpeg, strict=True)
    )
    print(f"{'simplejpeg':46}{ms:8.2f} ms, largest difference {largest} grey levels")


def _timed(
    call: Callable[[Any], Any], items: Sequence[Any], rounds: int
) -> tuple[float, list[Any]]:
    """Milliseconds for each item, and the results."""
    best, results = float("inf"), []
    for _ in range(rounds):
        start = time.thread_time()
        results = [call(item) for item in items]
        best = min(best, time.thread_time() - start)
    return 1e3 * best / len(items), results


if __name__ == "__main__":
    main()
