"""Images a second of the stage `index`, beside a loop that only reads and hashes the files.

    python -m benchmarks.index [--images 100000]

Small, varied JPEG files with Market-1501's names are written and given up by the page cache as far
as the system allows. Then, in the same minutes and each in a process of its own: a plain loop that
reads and hashes every file, the stage, the stage again with nothing changed, and DVC's hashing of
the folder (`dvc add --no-commit`), first and again.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import processes
from benchmarks.invented import write_params

CAMERAS = 6
PICTURES = 500  # different ones; a file differs from others of its picture by a comment

LOOP = """
import hashlib, os, sys
for entry in os.scandir(sys.argv[1]):
    with open(entry.path, "rb") as file:
        hashlib.sha256(file.read()).hexdigest()
"""


def write_dataset(root: Path, n_images: int) -> int:
    """Writes a gallery of small JPEG files and the parameters; returns their bytes."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(PICTURES):
        coarse = rng.integers(0, 256, (16, 8, 3), np.uint8)
        picture = Image.fromarray(coarse).resize((64, 128), Image.Resampling.BICUBIC)
        noise = rng.normal(0, 8, (128, 64, 3))
        buffer = io.BytesIO()
        grainy = np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(grainy).save(buffer, format="jpeg", quality=90)
        pictures.append(buffer.getvalue())
    folder = root / "images/bounding_box_test"
    folder.mkdir(parents=True)
    n_bytes = 0
    for number in range(n_images):
        name = f"{1 + number // 20:05d}_c{1 + number % CAMERAS}s1_{number:06d}_00.jpg"
        comment = b"\xff\xfe\x00\x0a%08d" % number  # after the two bytes that a JPEG begins with
        data = pictures[number % PICTURES]
        (folder / name).write_bytes(data[:2] + comment + data[2:])
        n_bytes += len(data) + len(comment)
    write_params(root)
    return n_bytes


def forget_files(folder: Path) -> None:
    """Asks the system to drop the files from memory; it may keep some."""
    os.sync()
    for entry in os.scandir(folder):
        descriptor = os.open(entry.path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def measured(name: str, command: list[str], root: Path, n_images: int) -> None:
    """Runs a command in a project's folder and prints what it took, all its processes together."""
    used, _, _ = processes.run(command, root)
    print(
        f"{name:34} {used.seconds:7.1f} s, {used.processor_seconds:7.1f} s of the processor, "
        f"{n_images / used.seconds:9,.0f} images a second",
        flush=True,
    )


def main() -> None:
    """Prints a line per way of reading the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    options = parser.parse_args()
    n = options.images
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        n_bytes = write_dataset(root, n)
        folder = root / "images/bounding_box_test"
        print(f"{n:,} files, {n_bytes / 2**20:.0f} MiB, {os.cpu_count()} cores")
        stage = [sys.executable, "-m", "pose2id", "stage", "index", "gallery"]
        loop = [sys.executable, "-c", LOOP, str(folder)]
        dvc = [sys.executable, "-m", "dvc"]
        subprocess.run([*dvc, "init", "--no-scm", "-q"], cwd=root, check=True)
        for when in ("first", "again"):
            if when == "first":
                forget_files(folder)
            measured(f"loop of reading and hashing, {when}", loop, root, n)
            if when == "first":
                forget_files(folder)
            measured(f"stage index, {when}", stage, root, n)
            measured(
                f"dvc add --no-commit, {when}", [*dvc, "add", "--no-commit", "images"], root, n
            )


if __name__ == "__main__":
    main()
