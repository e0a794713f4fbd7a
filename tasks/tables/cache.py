"""Housekeeping of the row cache: how large it is, what may go, what must be made again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tasks.tables.aside import put_aside
from tasks.tables.row_cache import is_segment
from tasks.tables.schema import TABLE_FOLDERS, Layout
from tasks.tables.seal import DamagedTableError, check, read_sealed, table_schema
from tasks.tables.store import write_table

KINDS = ("generated", "features", "keypoints")


@dataclass(frozen=True, slots=True)
class Usage:
    """What the cache of one kind holds; ages count from the last time rows were used."""

    kind: str
    n_segments: int
    n_rows: int
    n_needed: int
    n_bytes: int
    oldest_s: float
    newest_s: float


def usage(layout: Layout) -> list[Usage]:
    """Size and age of the cache, per kind."""
    found = []
    for kind in KINDS:
        segments = list(_segments(layout, kind))
        needed = needed_keys(layout, kind)
        keys = [key for segment in segments for key in _keys(segment)]
        ages = [_age_s(segment) for segment in segments] or [0.0]
        found.append(
            Usage(
                kind,
                len(segments),
                len(keys),
                sum(key in needed for key in keys),
                sum(segment.stat().st_size for segment in segments),
                max(ages),
                min(ages),
            )
        )
    return found


def needed_keys(layout: Layout, kind: str) -> set[str]:
    """The keys of the rows in the present outs; pruning never takes these."""
    keys: set[str] = set()
    for part in (layout.data / kind).rglob("[!.]*.parquet"):
        keys.update(_keys(part))
    return keys


def prune(
    layout: Layout, *, unused_for_s: float | None = None, max_bytes: int | None = None
) -> int:
    """Drops rows that the present outs do not need, those unused for longest first.

    Args:
        layout: Where the cache is.
        unused_for_s: Drop what was not used for longer than this many seconds.
        max_bytes: Drop until the cache is at most this large, if that can be done without rows
            that the outs need.

    Returns:
        Number of rows dropped.
    """
    candidates = [(kind, path) for kind in KINDS for path in _segments(layout, kind)]
    candidates.sort(key=lambda item: (-_age_s(item[1]), str(item[1])))
    needed = {kind: needed_keys(layout, kind) for kind in KINDS}
    total = sum(path.stat().st_size for _, path in candidates)
    n_dropped = 0
    for kind, path in candidates:
        too_old = unused_for_s is not None and _age_s(path) > unused_for_s
        too_large = max_bytes is not None and total > max_bytes
        if too_old or too_large:
            before = path.stat().st_size
            keep = pa.array([key in needed[kind] for key in _keys(path)], pa.bool_())
            n_dropped += _keep_rows(path, keep)
            total -= before - (path.stat().st_size if path.exists() else 0)
    return n_dropped


def forget(layout: Layout, image_id: str) -> int:
    """Drops every cached row of an image, so that it will be made again.

    Returns:
        Number of rows dropped.
    """
    n_dropped = 0
    for kind in KINDS:
        for path in list(_segments(layout, kind)):
            ids = read_sealed(path, ["image_id"]).column("image_id")
            keep = pc.not_equal(ids, image_id).combine_chunks()
            n_dropped += _keep_rows(path, keep)
    return n_dropped


def sweep(layout: Layout) -> None:
    """Removes what killed writers left half-written; only for the holder of the project's lock."""
    tables = [path for path in layout.data.glob("*") if path.name in TABLE_FOLDERS]
    kept = [
        layout.cache / name
        for name in (
            *KINDS,
            "scores",
            "neighbors",
            "search",
            "quarantine",
            "reference",
            "history",
            "thumbnails",
        )
    ]
    left = [*layout.data.glob(".tmp-*"), *layout.reports.glob(".tmp-*")]
    for folder in (*tables, *kept):
        left += folder.rglob(".tmp-*")
    for path in left:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _keep_rows(path: Path, keep: pa.BooleanArray) -> int:
    """Rewrites a segment without the rows where `keep` is false; returns how many went."""
    n_dropped = int(len(keep) - (pc.sum(keep).as_py() or 0))
    if not n_dropped:
        return 0
    if n_dropped == len(keep):
        path.unlink()
        return n_dropped
    used = path.stat()
    producer = (table_schema(path).metadata or {}).get(b"pose2id.producer", b"cache").decode()
    write_table(path, read_sealed(path).filter(keep), producer=producer)
    os.utime(path, (used.st_atime, used.st_mtime))
    return n_dropped


def _segments(layout: Layout, kind: str) -> Iterator[Path]:
    """Sound segments; those of earlier releases, which nobody reads any more, are removed."""
    for path in sorted((layout.cache / kind).glob("shard-*/[!.]*.parquet")):
        if not is_segment(path) and path.is_file():
            path.unlink()
            continue
        try:
            check(path, strict=True)
            yield path
        except DamagedTableError as error:
            put_aside(error, layout.cache)


def _keys(path: Path) -> list[str]:
    keys: list[str] = read_sealed(path, ["key"]).column("key").to_pylist()
    return keys


def _age_s(path: Path) -> float:
    return time.time() - path.stat().st_mtime
