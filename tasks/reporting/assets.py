"""Files beside the pages: thumbnails and plots, named by their content, never by the data."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from tasks.reporting.charts import Chart
from tasks.tables.synthetic_mark import Mark, mark_picture

THUMB_HEIGHT_PX = 160
THUMB_WIDTH_PX = 160


@dataclass(frozen=True, slots=True)
class Asset:
    """A picture file in the assets folder and the size at which it is stored."""

    name: str
    width_px: int
    height_px: int


class Assets:
    """Writes pictures into one folder; equal content is one file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def thumbnail(self, data: bytes | None, mark: Mark | None = None) -> Asset | None:
        """A small JPEG of an encoded picture.

        Args:
            data: An image file; `None` where there is none.
            mark: What a generated picture says about itself in the file's metadata.

        Returns:
            The asset, or `None` where the picture cannot be decoded.
        """
        if data is None:
            return None
        try:
            with Image.open(io.BytesIO(data)) as opened:
                picture = opened.convert("RGB")
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
            return None
        picture.thumbnail((THUMB_WIDTH_PX, THUMB_HEIGHT_PX), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        picture.save(buffer, format="jpeg", quality=84, subsampling=0, optimize=True)
        encoded = buffer.getvalue()
        if mark is not None:
            encoded = mark_picture(encoded, "jpeg", mark)
        return self._put(encoded, "jpg", picture.width, picture.height)

    def plot(self, chart: Chart) -> Asset:
        """A chart as SVG."""
        return self._put(chart.svg, "svg", chart.width_px, chart.height_px)

    def _put(self, data: bytes, suffix: str, width_px: int, height_px: int) -> Asset:
        name = f"{hashlib.sha256(data).hexdigest()[:24]}.{suffix}"
        (self.folder / name).write_bytes(data)
        return Asset(name, width_px, height_px)
