"""Image files: what is accepted, why a file is refused, and one way to decode them all."""

from __future__ import annotations

import hashlib
import io
import stat
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from pose2id.errors import DataError, ImageChangedError
from pose2id.pointers import POINTER_BYTES, pointer_in

IMAGE_SUFFIXES: Final = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MAX_FILE_BYTES: Final = 256 * 1024 * 1024

_BIT_DEPTHS: Final = (8, 10, 12, 14, 16)
_INDEX_AGAIN: Final = "run the pipeline again: it will be indexed and made anew"
_FORMATS: Final = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
_ORIENTATION_TAG: Final = 0x0112
_ORIENTATIONS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow's decoders raise on damaged files, besides OSError.
_DAMAGE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the index keeps of an image file.

    Attributes:
        width_px: Width as displayed, after the EXIF rotation.
        height_px: Height as displayed.
        sha256: Hex digest of the file's bytes.
        n_bytes: Size of the file.
    """

    width_px: int
    height_px: int
    sha256: str
    n_bytes: int


def inspect_image(path: Path, *, min_side_px: int = 8, max_pixels: int = 50_000_000) -> ImageFacts:
    """Decodes an image file completely and describes it.

    Args:
        path: The file.
        min_side_px: Least width and least height.
        max_pixels: Most pixels; larger pictures are refused before they are decoded.

    Returns:
        Size and digest.

    Raises:
        DataError: The reason why the file is not usable, without its path.
    """
    data = read_image_bytes(path)
    picture = _decode(data, max_pixels)
    if min(picture.size) < min_side_px:
        raise DataError(
            f"{picture.width}x{picture.height} px; both sides must be at least {min_side_px} px"
        )
    return ImageFacts(
        width_px=picture.width,
        height_px=picture.height,
        sha256=hashlib.sha256(data).hexdigest(),
        n_bytes=len(data),
    )


def read_image_bytes(path: Path) -> bytes:
    """Reads a regular, non-empty file of at most `MAX_FILE_BYTES`.

    Raises:
        DataError: The reason why the file cannot be read, without its path.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"is {_kind(status.st_mode)}, not a file")
        if status.st_size == 0:
            raise DataError("is empty (0 bytes)")
        if status.st_size > MAX_FILE_BYTES:
            raise DataError(f"has {status.st_size} bytes; at most {MAX_FILE_BYTES} are read")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}") from error


def read_indexed(root: Path, path: str, sha256: str) -> bytes:
    """Reads an image that the index describes, if it is still the one that was indexed.

    Whatever is made from the bytes is filed under this digest, so nobody reads images otherwise.

    Args:
        root: The dataset's root folder.
        path: POSIX path relative to it.
        sha256: Hex digest in the index.

    Returns:
        The file's bytes.

    Raises:
        DataError: The file cannot be read.
        ImageChangedError: It has been replaced since.
    """
    try:
        data = read_image_bytes(root / path)
    except DataError as error:
        raise DataError(f"{path} {error}; {_INDEX_AGAIN}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ImageChangedError(f"{path} has changed since it was indexed; {_INDEX_AGAIN}")
    return data


def decode_rgb(data: bytes) -> Image.Image:
    """Decodes an encoded picture to 8-bit RGB, the same way everywhere in this package.

    The EXIF orientation is applied, palettes, grey and CMYK are converted, and transparency is laid
    on white. 16-bit samples keep the highest 8 bits of their bit depth, which is the smallest of
    8, 10, 12, 14 and 16 that holds the file's own maximum: thermal cameras put 12 or 14 bits into
    16-bit files.

    Args:
        data: A BMP, JPEG, PNG, TIFF or WebP file with a single frame.

    Returns:
        The picture in mode `RGB`.

    Raises:
        DataError: The reason why the bytes are not usable.

    Example:
        >>> buffer = io.BytesIO()
        >>> Image.new("LA", (16, 32), (0, 0)).save(buffer, "PNG")
        >>> picture = decode_rgb(buffer.getvalue())
        >>> picture.mode, picture.size, picture.getpixel((0, 0))
        ('RGB', (16, 32), (255, 255, 255))
    """
    return _decode(data, max_pixels=None)


def _decode(data: bytes, max_pixels: int | None) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(data), formats=_FORMATS)
        n_pixels = picture.width * picture.height
        if max_pixels is not None and n_pixels > max_pixels:
            raise DataError(
                f"declares {picture.width}x{picture.height} px; at most {max_pixels} pixels are "
                "decoded"
            )
        # An MPO is a phone's JPEG with a second, smaller picture behind the first.
        if picture.format != "MPO" and getattr(picture, "n_frames", 1) > 1:
            raise DataError("is animated or has several pages; one picture per file is needed")
        picture.load()
        return _upright(_to_rgb(picture), picture)
    except UnidentifiedImageError as error:
        if pointer := pointer_in(data[:POINTER_BYTES]):
            raise DataError(pointer) from error
        raise DataError(f"is not a readable picture ({', '.join(_FORMATS)} are)") from error
    except Image.DecompressionBombError as error:
        raise DataError("declares so many pixels that decoding it could exhaust memory") from error
    except _DAMAGE as error:
        raise DataError(f"is damaged: {error}") from error


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I;16"):
        samples = np.asarray(picture).astype(np.uint16)
        highest = samples >> (_bit_depth(int(samples.max(initial=0))) - 8)
        return Image.fromarray(highest.astype(np.uint8)).convert("RGB")
    if picture.mode in ("I", "F"):
        raise DataError("has 32-bit samples, which have no agreed range; save it with 8 or 16 bits")
    if picture.has_transparency_data:
        layers = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers).convert("RGB")
    return picture.convert("RGB")


def _bit_depth(maximum: int) -> int:
    """The bit depth of a sensor, by the largest sample of a file."""
    return next(bits for bits in _BIT_DEPTHS if maximum < 1 << bits)


def _upright(rgb: Image.Image, source: Image.Image) -> Image.Image:
    try:
        orientation = source.getexif().get(_ORIENTATION_TAG)
    except _DAMAGE:  # an unreadable EXIF block says nothing about the pixels
        return rgb
    return rgb.transpose(_ORIENTATIONS[orientation]) if orientation in _ORIENTATIONS else rgb


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device",
    }
    return kinds.get(stat.S_IFMT(mode), "something special")
