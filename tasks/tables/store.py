"""Atomic Parquet files with a seal, stable shards."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pose2id.errors import DataError
from tasks.tables.seal import open_sealed, read_sealed, write_sealed

_ROWS_AT_ONCE = 8192


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
    """Writes a table atomically and sealed; the same table gives the same bytes.

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
        write_sealed(
            temporary,
            table,
            compression="zstd",
            use_dictionary=plain,
            write_statistics=[f.name for f in table.schema if f.name not in {*vectors, "image"}],
            row_group_size=_ROWS_AT_ONCE,
        )


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Reads one Parquet file, or all parts of a folder in name order.

    Raises:
        DataError: The path does not exist or holds no table.
        DamagedTableError: A file is not what was written.
    """
    parts = path.is_dir() and path.suffix != ".parquet"
    files = sorted(path.glob("[!.]*.parquet")) if parts else [path]
    if not files or not all(file.exists() for file in files):
        raise DataError(f"there is no table at {path}; run the stage that makes it: dvc repro")
    return pa.concat_tables([read_sealed(file, columns) for file in files])


def read_vectors(path: Path, column: str = "feature") -> NDArray[np.float32]:
    """The vectors of one file, `(N, D) float32`; they are never in memory twice.

    Raises:
        DataError: There is no such file.
        DamagedTableError: It is not what was written.
    """
    if not path.is_file():
        raise DataError(f"there is no table at {path}; run the stage that makes it: dvc repro")
    with open_sealed(path) as file:
        dim = file.schema_arrow.field(column).type.list_size
        rows = np.empty((file.metadata.num_rows, dim), np.float32)
        start = 0
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[column]):
            rows[start : start + len(batch)] = vectors(pa.Table.from_batches([batch]), column)
            start += len(batch)
    return rows


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


def images_of_shard(
    path: Path, shard: int, n_shards: int, columns: list[str] | None = None
) -> pa.Table:
    """The rows of an index whose images are of one shard, in the index's order.

    Raises:
        DataError: There is no index, or it is damaged.
    """
    table = read_table(path, columns)
    status = path.stat()
    numbers = _shards(path, n_shards, status.st_ino, status.st_size, status.st_mtime_ns)
    return table.take(np.flatnonzero(numbers == shard))


@functools.lru_cache(maxsize=4)
def _shards(path: Path, n_shards: int, *_version: int) -> NDArray[np.int16]:
    """The shard of each row; kept, so that all shards together hash each name once."""
    ids = read_table(path, ["image_id"]).column("image_id").to_pylist()
    return np.array([shard_of(image_id, n_shards) for image_id in ids], np.int16)
