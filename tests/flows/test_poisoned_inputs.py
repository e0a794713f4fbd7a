"""Thirty kinds of bad files: none crashes a run, each is refused with its reason or knowingly used.

Every kind is a file of the gallery; the stages then run over what was accepted, to the report.
"""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.tables.store import read_table
from tests.flows.conftest import Stages

ACCEPTED = None
ATTACK = "<img src=x onerror=alert(1)>"


def picture(mode: str = "RGB", size: tuple[int, int] = (16, 32)) -> Image.Image:
    pixels = np.random.default_rng(size[0]).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, file_format: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds one line."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    line = zlib.compress(bytes(1 + 3 * 8))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", line) + chunk(b"IEND", b"")
    )


def exif_rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture(), exif=exif)


def sixteen_bit() -> bytes:
    samples = np.random.default_rng(0).integers(0, 65536, (32, 16), np.uint16)
    return encoded(Image.fromarray(samples), "PNG")


def floating() -> bytes:
    return encoded(Image.fromarray(np.random.default_rng(0).random((32, 16), np.float32)), "TIFF")


def animated(file_format: str) -> bytes:
    more = [picture(size=(16, 32)).rotate(90, expand=False)]
    return encoded(picture(), file_format, save_all=True, append_images=more)


def with_comment() -> bytes:
    return encoded(picture(), comment=f"{ATTACK}".encode())


def damaged() -> bytes:
    data = bytearray(encoded(picture(), "PNG"))
    data[60] ^= 0xFF
    return bytes(data)


# Kind -> content of a well-named file, and what the reason says (None: accepted).
CONTENTS: dict[str, tuple[bytes, str | None]] = {
    "truncated": (encoded(picture(size=(64, 128)))[:900], "damaged"),
    "damaged in the middle": (damaged(), "damaged"),
    "zero bytes": (b"", "empty"),
    "text": (b"this is not a picture\n" * 20, "not a readable picture"),
    "SVG with script": (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "readable"),
    "HTML": (b"<html><script>alert(1)</script></html>", "not a readable picture"),
    "PDF": (b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n", "not a readable picture"),
    "GIF": (encoded(picture("P"), "GIF"), "not a readable picture"),
    "huge dimensions": (png_header(60000, 60000), "so many pixels"),
    # A complete stream that holds less than the header says: decoders leave the rest black.
    "claims more lines than it has": (png_header(8, 4000), ACCEPTED),
    "animated WebP": (animated("WEBP"), "animated"),
    "animated PNG": (animated("PNG"), "animated"),
    "pages of TIFF": (animated("TIFF"), "several pages"),
    "1x1": (encoded(picture(size=(1, 1)), "PNG"), "at least 8 px"),
    "one line": (encoded(picture(size=(400, 1)), "PNG"), "at least 8 px"),
    "32-bit samples": (floating(), "32-bit"),
    "CMYK": (encoded(picture("CMYK")), ACCEPTED),
    "16-bit": (sixteen_bit(), ACCEPTED),
    "EXIF-rotated": (exif_rotated(), ACCEPTED),
    "bilevel": (encoded(picture("1"), "PNG"), ACCEPTED),
    "palette with transparency": (encoded(picture("P"), "PNG", transparency=0), ACCEPTED),
    "transparent": (encoded(picture("RGBA"), "PNG"), ACCEPTED),
    "PNG that is called jpg": (encoded(picture(), "PNG"), ACCEPTED),
    "HTML in its comment": (with_comment(), ACCEPTED),
    "bytes after its end": (encoded(picture()) + b"<script>", ACCEPTED),
    "one colour": (encoded(Image.new("RGB", (16, 32)), "PNG"), ACCEPTED),
    "very wide": (encoded(picture(size=(900, 8)), "PNG"), ACCEPTED),
}


def outside_link(folder: Path) -> list[str]:
    target = folder.parents[2] / "secret.jpg"
    target.write_bytes(encoded(picture()))
    (folder / "0501_c1s1_000001_00.jpg").symlink_to(target)
    return ["0501_c1s1_000001_00.jpg"]


def link_loop(folder: Path) -> list[str]:
    (folder / "0502_c1s1_000001_00.jpg").symlink_to(folder / "0502_c1s1_000001_00.jpg")
    return ["0502_c1s1_000001_00.jpg"]


def named_pipe(folder: Path) -> list[str]:
    os.mkfifo(folder / "0503_c1s1_000001_00.jpg")
    return ["0503_c1s1_000001_00.jpg"]


def subfolder(folder: Path) -> list[str]:
    (folder / "0504_c1s1_000001_00.jpg").mkdir()
    return ["0504_c1s1_000001_00.jpg"]


def local_socket(folder: Path) -> list[str]:
    before = Path.cwd()
    os.chdir(folder)  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("0505_c1s1_000001_00.jpg")
    finally:
        os.chdir(before)
    return ["0505_c1s1_000001_00.jpg"]


def dangling_link(folder: Path) -> list[str]:
    (folder / "0506_c1s1_000001_00.jpg").symlink_to("nowhere.jpg")
    return ["0506_c1s1_000001_00.jpg"]


def same_id_twice(folder: Path) -> list[str]:
    names = ["0507_c1s1_000001_00.jpg", "0507_c1s1_000001_00.png"]
    for name in names:
        (folder / name).write_bytes(encoded(picture()))
    return names


def named(name: str) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        (folder / name).write_bytes(encoded(picture()))
        return [name]

    return make


FILES: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "link out of the tree": (outside_link, "outside the dataset's root"),
    "link to itself": (link_loop, "cannot be opened"),
    "named pipe": (named_pipe, "not a regular file"),
    "folder called jpg": (subfolder, "not a regular file"),
    "socket": (local_socket, "not a regular file"),
    "dangling link": (dangling_link, "cannot be opened"),
    "same id twice": (same_id_twice, "shares its id"),
    "newline in the name": (named("0601_c1s1\n000001_00.jpg"), "cannot be printed"),
    "escape codes in the name": (named("0602_c1s1_\x1b[2J.jpg"), "cannot be printed"),
    "not UTF-8": (named(os.fsdecode(b"0603_c1s1_\xff.jpg")), "cannot be printed"),
    "text running backwards": (named("0604_c1s1_\u202egpj.jpg"), "cannot be printed"),
    "HTML in the name": (named(f"0605_c1s1_{ATTACK}.jpg"), "is not named"),
    "quotes in the name": (named("0606_c1s1_'\";DROP TABLE x--.jpg"), "is not named"),
    "camera 0": (named("0607_c0s1_000001_00.jpg"), "cameras from 1"),
    "person beyond all numbers": (named("99999999999_c1s1_000001_00.jpg"), "99999999999"),
    "person below zero": (named("-1_c0.jpg"), "cameras from 1"),
    "no name": (named(".jpg"), "is not an image"),
    "shell in the name": (named("$(touch pwned)_`id`.jpg"), "is not named"),
    "thumbnail database": (named("Thumbs.db"), "is not an image"),
}


@pytest.fixture
def poisoned(stages: Stages) -> tuple[Stages, dict[str, list[str]]]:
    folder = stages.images("gallery")
    names = {kind: make(folder) for kind, (make, _) in FILES.items()}
    for number, (kind, (content, _)) in enumerate(CONTENTS.items(), start=100):
        name = f"{number:04d}_c1s1_000001_00.jpg"
        (folder / name).write_bytes(content)
        names[kind] = [name]
    twin = folder / "0002_c2s1_000009_00.png"
    twin.write_bytes((folder / "0002_c2s1_000001_00.png").read_bytes())
    stages.set(index__max_reject_rate=1.0, validate__max_quarantine_rate=1.0)
    return stages, names


def test_no_kind_crashes_a_run_and_each_has_its_verdict(poisoned):
    project, names = poisoned
    assert len(CONTENTS) + len(FILES) >= 30
    project.stages("index", "poses", "generate", "features", "validate", "centralize")
    project.stages("score", "report")
    layout = project.root / "data" / "index"
    accepted = {row["path"] for row in read_table(layout / "gallery.parquet").to_pylist()}
    reasons = {
        row["path"]: row["reason"]
        for row in read_table(layout / "gallery.rejects.parquet").to_pylist()
    }
    expected = {kind: reason for kind, (_, reason) in (*CONTENTS.items(), *FILES.items())}
    for kind, wanted in expected.items():
        for name in names[kind]:
            path = f"bounding_box_test/{name}"
            path = path if path.isprintable() else ascii(path)[1:-1]
            if wanted is ACCEPTED:
                assert path in accepted, (kind, reasons.get(path))
            else:
                assert path not in accepted, kind
                assert wanted in reasons[path], kind
    assert not (project.root / "pwned").exists()
    pages = sorted((project.root / "reports").rglob("*.html"))
    assert pages
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert ATTACK not in text, page
        assert "\x1b" not in text, page


def test_a_twin_by_content_is_found_and_named(poisoned):
    project, _ = poisoned
    project.stages("index", "poses", "generate", "features", "validate")
    found = read_table(project.root / "data" / "quality" / "gallery.expectations.parquet")
    failed = [row for row in found.to_pylist() if not row["success"]]
    assert any("0002_c2s1_000009_00" in row["detail"] for row in failed), failed


def test_a_file_that_may_not_be_read_has_its_reason(stages: Stages):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = stages.add_image("gallery", "0700_c1s1_000001_00.png")
    path.chmod(0)
    stages.set(index__max_reject_rate=1.0)
    stages.stage("index", "gallery")
    rejects = read_table(stages.root / "data" / "index" / "gallery.rejects.parquet").to_pylist()
    assert [row["reason"] for row in rejects] == ["cannot be read: Permission denied"]


def test_too_many_bad_files_fail_the_stage_with_the_table_of_reasons(stages: Stages):
    from pose2id.errors import QualityError

    (stages.images("gallery") / "0800_c1s1_000001_00.jpg").write_bytes(b"")
    with pytest.raises(QualityError, match=r"1 of 4 files.*empty"):
        stages.stage("index", "gallery")
