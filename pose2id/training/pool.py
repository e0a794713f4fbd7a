"""Training pictures and what frozen networks make of them, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2id.training.sources import PictureSource

logger = logging.getLogger(__name__)

_CHUNK = 1024
"""Pictures per file: a killed run loses at most one chunk per worker."""


def write_array(path: Path, array: NDArray[np.generic]) -> None:
    """Writes an `.npy` file in one move, so that a reader never sees half of it.

    Args:
        path: The file; its folder must exist.
        array: Any array of numbers.
    """
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)
    temporary.replace(path)


def _length(path: Path) -> int:
    return len(np.load(path, mmap_mode="r", allow_pickle=False)) if path.is_file() else 0


def _fill_chunk(
    source: PictureSource, folder: Path, n: int, height_px: int, width_px: int, chunk: int
) -> None:
    rows = range(chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK))
    pictures = np.stack([source.picture(row, height_px, width_px) for row in rows])
    write_array(folder / f"pictures-{chunk:05d}.npy", pictures)


class Pool:
    """All pictures of a source at the training size, in memory-mapped chunks.

    Attributes:
        table: The source's table.
        name: Names source, size and number of pictures.
        folder: Where the chunks and everything derived from them lie.
    """

    def __init__(
        self,
        source: PictureSource,
        cache: Path,
        height_px: int,
        width_px: int,
        workers: int = 1,
        limit: int | None = None,
    ) -> None:
        """Opens the pool, making the pictures that are missing.

        Args:
            source: Where the pictures come from.
            cache: Folder for caches; the pool gets a subfolder named by the source's fingerprint.
            height_px: Height of the pictures.
            width_px: Width of the pictures.
            workers: Processes that make pictures.
            limit: Use only the first pictures of the source.
        """
        table = source.table()
        self.table = table.head(limit)
        size = f"{height_px}x{width_px}"
        self.folder = cache / f"{source.fingerprint[:16]}-{size}"
        self.name = f"{self.folder.name}-{len(self.table.identity)}"
        self.folder.mkdir(parents=True, exist_ok=True)
        n = len(table.identity)
        chunks = range(-(-len(self.table.identity) // _CHUNK))  # whole ones, whatever the limit
        paths = [self.folder / f"pictures-{chunk:05d}.npy" for chunk in chunks]
        missing = [
            chunk for chunk in chunks if _length(paths[chunk]) < min(n - chunk * _CHUNK, _CHUNK)
        ]
        fill = partial(_fill_chunk, source, self.folder, n, height_px, width_px)
        if missing:
            logger.info("%d of %d chunks of training pictures to make", len(missing), len(chunks))
        if len(missing) > 1 and workers > 1:
            with ProcessPoolExecutor(workers) as executor:
                list(executor.map(fill, missing))
        else:
            for chunk in missing:
                fill(chunk)
        self._chunks = [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]

    def __len__(self) -> int:
        return len(self.table.identity)

    def pictures(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Reads pictures.

        Args:
            rows: `(B,) int64`.

        Returns:
            `(B, H, W, 3) uint8` RGB.
        """
        return np.stack([self._chunks[row // _CHUNK][row % _CHUNK] for row in rows.tolist()])

    def derived(
        self,
        name: str,
        rows: NDArray[np.int64],
        compute: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
        batch: int = 64,
    ) -> NDArray[np.float16]:
        """What a frozen network makes of some pictures, from disk where it is there.

        Args:
            name: Name of the result, with the network's fingerprint in it.
            rows: `(n,) int64` pictures.
            compute: `(B, H, W, 3) uint8` to `(B, ...) float32`.
            batch: Pictures per call of `compute`.

        Returns:
            `(n, ...) float16`.
        """
        which = hashlib.sha256(rows.astype(np.int64).tobytes()).hexdigest()[:8]
        path = self.folder / f"{name}-{which}.npy"
        if not path.is_file():
            logger.info("computing %s of %d pictures", name, len(rows))
            parts = [
                compute(self.pictures(rows[start : start + batch])).astype(np.float16)
                for start in range(0, len(rows), batch)
            ]
            write_array(path, np.concatenate(parts))
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float16)
