"""Image files: thirty ways to be unusable, and one way to be decoded."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pose2id.datasets.images import decode_rgb, inspect_image
from pose2id.errors import DataError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (48, 24, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS)


def _encoded(picture=PICTURE, file_format="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def _png_declaring(width, height):
    """A valid PNG header of a huge picture with hardly any data."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


JPEG = _encoded(file_format="JPEG")
PNG = _encoded()
OTHER = Image.fromarray(255 - PIXELS)
BAD_BYTES = {
    "zero bytes": (b"", "empty"),
    "text": (b"this is not a picture", "not a readable picture"),
    "truncated jpeg": (JPEG[: len(JPEG) // 2], "damaged"),
    "jpeg header only": (JPEG[:20], "damaged|not a readable"),
    "truncated png": (PNG[: len(PNG) // 2], "damaged"),
    "png with a wrong checksum": (PNG[:60] + b"\0\0\0" + PNG[63:], "damaged"),
    "html served as jpg": (b"<html><body>404</body></html>", "not a readable picture"),
    "pdf": (b"%PDF-1.4\n1 0 obj\n", "not a readable picture"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a readable picture"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a readable picture"),
    "gif": (_encoded(file_format="GIF"), "not a readable picture"),
    "animated gif": (
        _encoded(file_format="GIF", save_all=True, append_images=[OTHER]),
        "not a readable picture",
    ),
    "animated png": (_encoded(save_all=True, append_images=[OTHER]), "animated"),
    "animated webp": (
        _encoded(file_format="WEBP", save_all=True, append_images=[OTHER]),
        "animated",
    ),
    "tiff of two pages": (
        _encoded(file_format="TIFF", save_all=True, append_images=[OTHER]),
        "several pages",
    ),
    "truncated webp": (_encoded(file_format="WEBP")[:60], "damaged|not a readable"),
    "truncated bmp": (_encoded(file_format="BMP")[:200], "damaged"),
    "truncated tiff": (_encoded(file_format="TIFF")[:100], "damaged|not a readable"),
    "one pixel": (_encoded(Image.new("RGB", (1, 1))), "at least 8 px"),
    "flat": (_encoded(Image.new("RGB", (64, 7))), "at least 8 px"),
    "60 megapixels": (_png_declaring(10_000, 6_000), "at most 50000000 pixels"),
    "decompression bomb": (_png_declaring(60_000, 60_000), "pixels"),
    "zero width": (_png_declaring(0, 10), "damaged|not a readable"),
    "32-bit integers": (_encoded(Image.new("I", (16, 16)), "TIFF"), "32-bit"),
    "32-bit floats": (_encoded(Image.new("F", (16, 16)), "TIFF"), "32-bit"),
}


@pytest.mark.parametrize("kind", BAD_BYTES)
def test_bad_bytes_are_refused_with_the_reason(tmp_path, kind):
    data, reason = BAD_BYTES[kind]
    path = tmp_path / "0001_c1s1_000001_00.jpg"
    path.write_bytes(data)
    with pytest.raises(DataError, match=reason):
        inspect_image(path)


def _folder(path):
    path.mkdir()


def _socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def _loop(path):
    path.symlink_to(path)


def _dangling(path):
    path.symlink_to(path.with_name("gone.jpg"))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_folder, "is a folder"),
        (os.mkfifo, "is a named pipe"),
        (_socket, "is a socket"),
        (_loop, "cannot be read"),
        (_dangling, "cannot be read"),
        (lambda path: None, "cannot be read: No such file"),
    ],
)
def test_what_is_not_a_file_is_refused_with_the_reason(tmp_path, make, reason):
    path = tmp_path / "a.jpg"
    make(path)
    with pytest.raises(DataError, match=reason):
        inspect_image(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_forbidden_file_is_refused_with_the_reason(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    path.chmod(0)
    with pytest.raises(DataError, match="Permission denied"):
        inspect_image(path)


def test_sparse_giant_is_refused_unread(tmp_path):
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(2**33)
    with pytest.raises(DataError, match="at most 268435456"):
        inspect_image(path)


def test_facts_describe_the_file(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    facts = inspect_image(path)
    assert (facts.width_px, facts.height_px, facts.n_bytes) == (24, 48, len(PNG))
    assert facts.sha256 == hashlib.sha256(PNG).hexdigest()


def test_limits_can_be_moved(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    with pytest.raises(DataError, match="at least 25 px"):
        inspect_image(path, min_side_px=25)
    with pytest.raises(DataError, match="at most 1000 pixels"):
        inspect_image(path, max_pixels=1000)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = {
        1: PIXELS,
        2: PIXELS[:, ::-1],
        3: PIXELS[::-1, ::-1],
        4: PIXELS[::-1],
        5: PIXELS.swapaxes(0, 1),
        6: np.rot90(PIXELS, 1),
        7: PIXELS[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(PIXELS, -1),
    }[orientation]
    path = tmp_path / "a.png"
    path.write_bytes(_encoded(Image.fromarray(np.ascontiguousarray(stored)), exif=exif))
    assert np.array_equal(np.asarray(decode_rgb(path.read_bytes())), PIXELS)
    facts = inspect_image(path)
    assert (facts.width_px, facts.height_px) == (24, 48)


def test_unreadable_exif_leaves_the_picture_as_it_is():
    exif = b"Exif\0\0II*\0\xff\xff\xff\x7f"
    assert decode_rgb(_encoded(file_format="JPEG", exif=exif)).size == (24, 48)


def test_sixteen_bit_grey_keeps_its_high_byte():
    levels = (np.arange(16 * 16, dtype=np.uint16) * 257).reshape(16, 16)
    for file_format in ("PNG", "TIFF"):
        picture = np.asarray(decode_rgb(_encoded(Image.fromarray(levels), file_format)))
        assert np.array_equal(picture[:, :, 1], np.arange(256).reshape(16, 16))


def test_transparency_is_laid_on_white():
    half = np.zeros((16, 16, 4), np.uint8)
    half[:, 8:] = (255, 0, 0, 255)
    picture = decode_rgb(_encoded(Image.fromarray(half)))
    assert picture.getpixel((0, 0)) == (255, 255, 255)
    assert picture.getpixel((12, 0)) == (255, 0, 0)
    palette = Image.fromarray(half).convert("RGB").quantize(4)
    transparent = palette.getpixel((0, 0))
    assert decode_rgb(_encoded(palette, transparency=transparent)).getpixel((0, 0)) == (255,) * 3


def test_grey_bilevel_palette_and_cmyk_become_rgb():
    grey = PICTURE.convert("L")
    assert np.array_equal(np.asarray(decode_rgb(_encoded(grey)))[:, :, 2], np.asarray(grey))
    bilevel = decode_rgb(_encoded(grey.convert("1")))
    assert set(np.unique(np.asarray(bilevel))) == {0, 255}
    palette = PICTURE.quantize(256)
    expected = np.asarray(palette.convert("RGB"))
    assert np.array_equal(np.asarray(decode_rgb(_encoded(palette))), expected)
    flat = Image.new("RGB", (16, 16), (200, 100, 50)).convert("CMYK")
    cmyk = np.asarray(decode_rgb(_encoded(flat, "JPEG", quality=100)))
    assert np.abs(cmyk.astype(int) - (200, 100, 50)).max() <= 3


def test_every_lossless_format_decodes_alike():
    for file_format in ("BMP", "PNG", "TIFF"):
        assert np.array_equal(np.asarray(decode_rgb(_encoded(file_format=file_format))), PIXELS)
    assert np.array_equal(
        np.asarray(decode_rgb(_encoded(file_format="WEBP", lossless=True))), PIXELS
    )


def test_random_damage_never_escapes_as_another_error():
    rng = np.random.default_rng(1)
    sources = [JPEG, PNG, _encoded(file_format="BMP"), _encoded(file_format="WEBP")]
    refused = 0
    for round_number in range(400):
        data = np.frombuffer(sources[round_number % 4], np.uint8).copy()
        places = rng.integers(0, min(len(data), 400), 3)
        data[places] = rng.integers(0, 256, 3)
        try:
            assert decode_rgb(data.tobytes()).mode == "RGB"
        except DataError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_samples_of_any_bit_depth_fill_eight_bits(bits, file_format):
    """Thermal cameras put 12 or 14 bits into 16-bit files."""
    top = (1 << bits) - 1
    samples = np.linspace(0, top, 256).round().astype(np.uint16).reshape(16, 16)
    samples[-1, -1] = top
    decoded = np.asarray(decode_rgb(_encoded(Image.fromarray(samples), file_format)))[:, :, 0]
    assert np.array_equal(decoded, samples >> (bits - 8))
    assert (int(decoded.min()), int(decoded.max())) == (0, 255)


def test_a_black_picture_of_sixteen_bits_stays_black():
    black = Image.fromarray(np.zeros((16, 16), np.uint16))
    assert not np.asarray(decode_rgb(_encoded(black, "PNG"))).any()
