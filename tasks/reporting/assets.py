"""Files beside the pages: thumbnails and plots, named by their content, never by the data.

Making a file costs more than all else about it, so those that the last report had are linked.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tasks.reporting.charts import Chart
from tasks.reporting.thumbnails import Thumbnails
from tasks.tables.synthetic_mark import Mark


@dataclass(frozen=True, slots=True)
class Asset:
    """A picture file in the assets folder and the size at which it is stored."""

    name: str
    width_px: int
    height_px: int


class Assets:
    """Writes pictures into one folder; equal content is one file."""

    def __init__(
        self, folder: Path, thumbnails: Thumbnails | None = None, last: Path | None = None
    ) -> None:
        """Makes the folder.

        Args:
            folder: Where the files go.
            thumbnails: Makes the small pictures; without, there are none.
            last: The last report's folder of pictures.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._thumbnails, self._last = folder, thumbnails, last

    def thumbnail(self, data: bytes | None, mark: Mark | None = None) -> Asset | None:
        """A small JPEG of an encoded picture.

        Args:
            data: An image file; `None` where there is none.
            mark: What a generated picture says about itself in the file's metadata.

        Returns:
            The asset, or `None` where the picture cannot be decoded.
        """
        made = self._thumbnails.of(data, mark) if data is not None and self._thumbnails else None
        return self._put(made.image, "jpg", made.width_px, made.height_px) if made else None

    def plot(self, chart: Chart) -> Asset:
        """A chart as SVG."""
        return self._put(chart.svg, "svg", chart.width_px, chart.height_px)

    def _put(self, data: bytes, suffix: str, width_px: int, height_px: int) -> Asset:
        name = f"{hashlib.sha256(data).hexdigest()[:24]}.{suffix}"
        path = self.folder / name
        if not path.exists() and not self._linked(path, data):
            path.write_bytes(data)
        return Asset(name, width_px, height_px)

    def _linked(self, path: Path, data: bytes) -> bool:
        """Makes a file another name of the last report's, if that has these very bytes."""
        if self._last is None:
            return False
        last = self._last / path.name
        with suppress(OSError):  # there is none, or the file system has no links
            if not last.is_symlink() and last.read_bytes() == data:
                os.link(last, path)
                return True
        return False
