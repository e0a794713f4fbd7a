"""Atomic Parquet files, stable shards and the append-only row cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pose2id.errors import DataError

COMPACT_AT = 16  # segments of one shard before they are joined into one


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder; on success it replaces `path`, synced to disk.

    A reader sees the old file or the new one, never a part. A kill leaves a `.tmp-` file, which
    no reader takes for a table. The file has the rights that the umask leaves, no more.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".tmp-{secrets.token_hex(8)}{path.suffix}"
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_table(path: Path, table: pa.Table, *, producer: str) -> None:
    """Writes a table atomically; the same table gives the same bytes.

    Args:
        path: Target file.
        table: The rows, already sorted by id.
        producer: Fingerprint of what made the rows, kept in the file's metadata.
    """
    metadata = {**(table.schema.metadata or {}), b"pose2id.producer": producer.encode()}
    table = table.replace_schema_metadata(metadata)
    vectors = [field.name for field in table.schema if pa.types.is_nested(field.type)]
    plain = [field.name for field in table.schema if pa.types.is_string(field.type)]
    with atomic_path(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            use_dictionary=plain,
            write_statistics=[f.name for f in table.schema if f.name not in {*vectors, "image"}],
            row_group_size=8192,
        )


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Reads one Parquet file, or all parts of a folder in name order.

    Raises:
        DataError: The path does not exist or holds no table.
    """
    files = sorted(path.glob("[!.]*.parquet")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise DataError(f"there is no table at {path}; run the stage that makes it: dvc repro")
    tables = [pq.read_table(file, columns=columns) for file in files]
    return pa.concat_tables([table.replace_schema_metadata(None) for table in tables])


def vectors(table: pa.Table, column: str = "feature") -> NDArray[np.float32]:
    """A fixed-size list column as a new array `(N, D) float32`."""
    dim = table.schema.field(column).type.list_size
    rows = np.empty((table.num_rows, dim), np.float32)
    start = 0
    for chunk in table.column(column).chunks:
        rows[start : start + len(chunk)] = np.asarray(chunk.flatten()).reshape(-1, dim)
        start += len(chunk)
    return rows


def vector_column(rows: NDArray[np.float32] | NDArray[np.int64]) -> pa.Array:
    """`(N, D)` numbers as a fixed-size list column."""
    flat = np.ascontiguousarray(rows).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), rows.shape[1])


def sha256_hex(*parts: bytes | str | int | float) -> str:
    """Hex sha256 over parts, each prefixed with its length so that no two lists collide."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def shard_prefix(shard: int, n_shards: int) -> str:
    """The bits that name a shard: `n_shards` is a power of two.

    >>> shard_prefix(2, 8)
    '010'
    """
    bits = n_shards.bit_length() - 1
    return format(shard, f"0{bits}b") if bits else ""


def shard_of(image_id: str, n_shards: int) -> int:
    """The shard of an image: the first bits of its hash, so that a new image touches one shard."""
    bits = n_shards.bit_length() - 1
    first = int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:4], "big")
    return first >> (32 - bits) if bits else 0


class RowCache:
    """Finished rows of one kind, append-only, found again by key, outside of every stage's outs.

    Segments live in folders named by a shard's bits. A folder is searched for a shard when one
    of the two bit strings begins with the other, so the number of shards may change freely.
    """

    def __init__(self, root: Path, prefix: str) -> None:
        self.root = root
        self.prefix = prefix
        self.folder = root / f"shard-{prefix}"

    def _segments(self) -> list[Path]:
        found: list[Path] = []
        for folder in sorted(self.root.glob("shard-*")):
            bits = folder.name.removeprefix("shard-")
            if bits.startswith(self.prefix) or self.prefix.startswith(bits):
                found += sorted(folder.glob("[!.]*.parquet"))
        return found

    def keys(self) -> set[str]:
        """The keys of all rows that can be found."""
        keys: set[str] = set()
        for segment in self._segments():
            keys.update(pq.read_table(segment, columns=["key"]).column("key").to_pylist())
        return keys

    def append(self, table: pa.Table) -> None:
        """Adds rows as one new segment; the segment appears whole or not at all."""
        name = sha256_hex(*table.column("key").to_pylist())[:32]
        write_table(self.folder / f"{name}.parquet", table, producer="cache")

    def take(self, keys: Iterable[str]) -> pa.Table | None:
        """The rows with these keys in unspecified order; `None` if there are none.

        Segments that give a row are marked as used, so that pruning by age spares them.
        """
        wanted = set(keys)
        found: list[pa.Table] = []
        for segment in self._segments():
            held = pq.read_table(segment, columns=["key"]).column("key").to_pylist()
            rows = [row for row, key in enumerate(held) if key in wanted]
            if rows:
                found.append(pq.read_table(segment).take(rows).replace_schema_metadata(None))
                wanted.difference_update(held[row] for row in rows)
                os.utime(segment)
        return pa.concat_tables(found) if found else None

    def assemble(self, wanted: dict[tuple[str, int], str], layout: pa.Schema) -> pa.Table:
        """The rows of an out: one per `(image id, pose id)`, in that order, taken by key.

        A row found by key may have been made under another name (a renamed file with the same
        content), so both id columns, the first two of the layout, are written anew.
        """
        found = self.take(wanted.values())
        if found is None:
            return layout.empty_table()
        row_of = {key: row for row, key in enumerate(found.column("key").to_pylist())}
        order = sorted(wanted)
        table = found.take([row_of[wanted[item]] for item in order])
        image_ids = pa.array([image_id for image_id, _ in order], layout.field(0).type)
        pose_ids = pa.array([pose_id for _, pose_id in order], layout.field(1).type)
        table = table.set_column(0, layout.field(0), image_ids)
        return table.set_column(1, layout.field(1), pose_ids).cast(layout)

    def compact(self) -> None:
        """Joins the shard's own segments into one when they have become many."""
        segments = sorted(self.folder.glob("[!.]*.parquet"))
        if len(segments) < COMPACT_AT:
            return
        by_schema: dict[pa.Schema, list[Path]] = {}
        for segment in segments:
            schema = pq.read_schema(segment).remove_metadata()
            by_schema.setdefault(schema, []).append(segment)
        for group in by_schema.values():
            if len(group) > 1:
                self.append(pa.concat_tables([pq.read_table(path) for path in group]))
                for path in group:
                    path.unlink()
