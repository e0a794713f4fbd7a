"""Small pictures in a terminal: two pixels a character, by half blocks in 24-bit colour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pose2id.datasets.images import decode_rgb, read_indexed
from tasks.search.ranking import Found

SIZE_PX = (10, 20)  # width, height; the height is even
_GAP = "  "
_RESET = "\x1b[0m"


def thumbnails(found: Found, query: bytes, dataset_root: Path, n_columns: int) -> str:
    """The query and as many of its hits as fit beside it.

    Args:
        found: A ranked list.
        query: The bytes of its query.
        dataset_root: Where the gallery's files are.
        n_columns: Width of the terminal, in characters.

    Returns:
        Lines for a terminal with 24-bit colour, with a line of ranks below.

    Raises:
        DataError: A gallery image can no longer be read, or has been replaced since it was indexed.
    """
    width = SIZE_PX[0] + len(_GAP)
    hits = found.hits[: max(0, n_columns // width - 1)]
    pictures = [decode_rgb(query)]
    pictures += [decode_rgb(read_indexed(dataset_root, hit.path, hit.sha256)) for hit in hits]
    marks = {None: "", True: " right", False: " wrong"}
    names = ["query", *(f"{hit.rank}{marks[hit.is_match]}" for hit in hits)]
    return half_blocks(pictures) + "\n" + _GAP.join(f"{name:<{SIZE_PX[0]}}" for name in names)


def half_blocks(pictures: Sequence[Image.Image]) -> str:
    """Pictures side by side, as lines of upper half blocks.

    Args:
        pictures: At least one, mode `RGB`.

    Returns:
        `SIZE_PX[1] / 2` lines.

    Example:
        >>> lines = half_blocks([Image.new("RGB", (64, 128), "red")]).splitlines()
        >>> len(lines), lines[0].count("▀"), "38;2;255;0;0m" in lines[0]
        (10, 10, True)
    """
    pixels = [np.asarray(picture.resize(SIZE_PX, Image.Resampling.BOX)) for picture in pictures]
    lines = []
    for row in range(0, SIZE_PX[1], 2):
        parts = [
            "".join(
                _block(upper, lower) for upper, lower in zip(one[row], one[row + 1], strict=True)
            )
            for one in pixels
        ]
        lines.append(_GAP.join(part + _RESET for part in parts))
    return "\n".join(lines)


def _block(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> str:
    front, back = (";".join(map(str, colour.tolist())) for colour in (upper, lower))
    return f"\x1b[38;2;{front}m\x1b[48;2;{back}m▀"
