"""Damaged files of the cache: moved out of the way, named, and made again by whoever needs them."""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa

from tasks.tables.seal import DamagedTableError, read_sealed

log = logging.getLogger(__name__)


def put_aside(error: DamagedTableError, cache: Path) -> Path:
    """Moves a damaged file, or whatever lies in its place, to `damaged/` in the cache.

    Args:
        error: Says which file, and why.
        cache: The project's cache folder.

    Returns:
        Where the file is now.
    """
    path = error.path
    inside = path.relative_to(cache) if path.is_relative_to(cache) else Path(path.name)
    target = cache / "damaged" / inside
    target.parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while target.exists():
        number += 1
        target = target.with_name(f"{number}-{path.name}")
    try:
        path.rename(target)
    except FileNotFoundError:  # another shard was quicker
        return target
    log.warning(
        "%s was damaged (%s); it is now %s, and its rows are made again", path, error.reason, target
    )
    return target


def read_kept(
    path: Path, cache: Path, columns: list[str] | None = None, *, strict: bool = True
) -> pa.Table | None:
    """Reads a table that earlier runs have kept.

    Args:
        path: The file.
        cache: The project's cache folder.
        columns: Only these.
        strict: Take nothing without a seal.

    Returns:
        The rows; `None` if there is no such table, or it was damaged and is put aside.
    """
    if not path.exists() and not path.is_symlink():
        return None
    try:
        return read_sealed(path, columns, strict=strict)
    except DamagedTableError as error:
        put_aside(error, cache)
        return None
