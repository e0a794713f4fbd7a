"""Thumbnails, kept between runs: the report draws only those that it lacks."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import NamedTuple

import PIL
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from tasks.tables import schema, synthetic_mark
from tasks.tables.aside import read_kept
from tasks.tables.schema import Layout
from tasks.tables.store import write_table
from tasks.tables.synthetic_mark import Mark, mark_picture

HEIGHT_PX = 160
WIDTH_PX = 160
# What is kept was made by this very code.
_MADE_BY = hashlib.sha256(
    b"".join(Path(str(file)).read_bytes() for file in (__file__, synthetic_mark.__file__))
    + PIL.__version__.encode()
).digest()


class Thumbnail(NamedTuple):
    """A small JPEG and its size."""

    width_px: int
    height_px: int
    image: bytes


class Thumbnails:
    """Makes thumbnails; those that the last report had are taken over, to the byte."""

    def __init__(self, layout: Layout) -> None:
        """Reads what the last report had.

        Args:
            layout: Where it is kept, and the next one will be.
        """
        self._path = layout.thumbnails
        self._used: dict[bytes, Thumbnail] = {}
        rows = read_kept(self._path, layout.cache)
        columns = [] if rows is None else [column.to_pylist() for column in rows.columns]
        self._last = {key: Thumbnail(*rest) for key, *rest in zip(*columns, strict=True)}

    def of(self, data: bytes, mark: Mark | None) -> Thumbnail | None:
        """The thumbnail of an encoded picture.

        Args:
            data: An image file.
            mark: What a generated picture says about itself in the file's metadata.

        Returns:
            It; `None` where the picture cannot be decoded.
        """
        digest = hashlib.sha256(_MADE_BY)
        digest.update(hashlib.sha256(data).digest())
        digest.update(mark.as_json().encode() if mark else b"")
        key = digest.digest()
        made = self._used.get(key) or self._last.get(key) or _draw(data, mark)
        if made is not None:
            self._used[key] = made
        return made

    def keep(self) -> None:
        """Keeps those of this report for the next."""
        if self._used.keys() == self._last.keys():
            return
        rows = [{"key": key, **self._used[key]._asdict()} for key in sorted(self._used)]
        write_table(
            self._path, pa.Table.from_pylist(rows, schema=schema.THUMBNAILS), producer="report"
        )


def _draw(data: bytes, mark: Mark | None) -> Thumbnail | None:
    try:
        with Image.open(io.BytesIO(data)) as opened:
            picture = opened.convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return None
    picture.thumbnail((WIDTH_PX, HEIGHT_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, format="jpeg", quality=84, subsampling=0, optimize=True)
    encoded = buffer.getvalue()
    if mark is not None:
        encoded = mark_picture(encoded, "jpeg", mark)
    return Thumbnail(picture.width, picture.height, encoded)
