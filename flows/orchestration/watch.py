"""Whether images have arrived, changed or gone since the last completed run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path


def signature(root: Path) -> str:
    """A digest of names, sizes and times of all files of the dataset; no file is opened.

    Args:
        root: The project's root folder.

    Returns:
        Hex sha256.
    """
    from tasks.tables.params import load_params

    params = load_params(root / "params.yaml")
    folder = root / params.dataset.root
    digest = hashlib.sha256(str(folder).encode())
    for name, size, modified in _files(folder):
        digest.update(json.dumps([name, size, modified]).encode())
    return digest.hexdigest()


def _files(folder: Path, prefix: str = "") -> Iterator[tuple[str, int, int]]:
    """Name, bytes and time of every file below a folder, sorted, without following links."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda item: item.name):
            name = f"{prefix}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path), f"{name}/")
            else:
                status = entry.stat(follow_symlinks=False)
                yield name, status.st_size, status.st_mtime_ns


def unchanged(root: Path, found: str) -> bool:
    """Whether the last completed run saw the same files."""
    path = _record(root)
    return path.is_file() and path.read_bytes() == found.encode()


def remember(root: Path, found: str) -> None:
    """Keeps the signature of what a completed run saw."""
    from tasks.tables.store import atomic_path

    with atomic_path(_record(root)) as path:
        path.write_text(found, encoding="utf-8")


def _record(root: Path) -> Path:
    return root / ".cache" / "watched.txt"
