"""The mark in a generated picture's own metadata: that it is synthetic, of whom, and made by what.

PNG and JPEG get the mark without a new encoding, so the pixels that were scored stay the pixels
that leave.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from dataclasses import asdict, dataclass

from PIL import Image

from pose2id.errors import DataError

SOFTWARE = "Pose2ID"
TEXT_KEY = "Pose2ID"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_END = len(_PNG_SIGNATURE) + 25  # IHDR: length, name, 13 bytes, checksum
_EXIF_DESCRIPTION = 0x010E
_EXIF_SOFTWARE = 0x0131


@dataclass(frozen=True, slots=True)
class Mark:
    """What a generated picture says about itself.

    Attributes:
        source_image_id: The image whose person was re-drawn.
        pose_id: The pose.
        generator: Fingerprint of the generator.
        key: Key of the row: with the same key the same picture can be made again.
    """

    source_image_id: str
    pose_id: int
    generator: str
    key: str

    def as_json(self) -> str:
        """The mark as ASCII JSON, beginning with `"synthetic": true`."""
        return json.dumps({"synthetic": True, **asdict(self)})


def mark_picture(data: bytes, file_format: str, mark: Mark) -> bytes:
    """Writes the mark into an encoded picture.

    Args:
        data: A whole image file.
        file_format: `png`, `jpeg` or `webp`.
        mark: What to write: a PNG text chunk, or the EXIF image description.

    Returns:
        The image file with the mark; the pixels are unchanged.

    Raises:
        DataError: The bytes are not a file of that format.
    """
    if file_format == "png" and data.startswith(_PNG_SIGNATURE):
        texts = {TEXT_KEY: mark.as_json(), "Software": SOFTWARE}
        chunks = b"".join(_png_text(key, text) for key, text in texts.items())
        return data[:_PNG_HEADER_END] + chunks + data[_PNG_HEADER_END:]
    if file_format == "jpeg" and data.startswith(b"\xff\xd8"):
        segment = _exif(mark)
        begins_with_jfif = data[2:4] == b"\xff\xe0"
        at = 4 + int.from_bytes(data[4:6], "big") if begins_with_jfif else 2
        head = b"\xff\xe1" + struct.pack(">H", len(segment) + 2)
        return data[:at] + head + segment + data[at:]
    if file_format == "webp" and data.startswith(b"RIFF"):
        buffer = io.BytesIO()
        with Image.open(io.BytesIO(data)) as picture:
            picture.save(buffer, format="webp", lossless=True, exif=_exif(mark))
        return buffer.getvalue()
    raise DataError(
        f"the picture of {mark.source_image_id} in pose {mark.pose_id} is not a {file_format} "
        "file; run the generate stage again: dvc repro --force generate"
    )


def to_jpeg(data: bytes, file_format: str, mark: Mark) -> bytes:
    """The picture as a marked JPEG at its stored size; a stored JPEG is not encoded again."""
    if file_format != "jpeg":
        buffer = io.BytesIO()
        with Image.open(io.BytesIO(data)) as picture:
            picture.convert("RGB").save(buffer, format="jpeg", quality=95, subsampling=0)
        data = buffer.getvalue()
    return mark_picture(data, "jpeg", mark)


def _png_text(key: str, text: str) -> bytes:
    body = b"tEXt" + key.encode("latin-1") + b"\0" + text.encode("latin-1")
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def _exif(mark: Mark) -> bytes:
    exif = Image.Exif()
    exif[_EXIF_DESCRIPTION] = mark.as_json()
    exif[_EXIF_SOFTWARE] = SOFTWARE
    return exif.tobytes()
