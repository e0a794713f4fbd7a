"""Whether a Parquet file is, byte for byte, what was written: a digest of it, inside it.

Parquet's own checksums of pages leave the footer and the headers of pages out, where one flipped
bit gives other rows without a word. So the footer holds a seal: the XXH3 digest of all bytes of the
file, computed while the seal itself is zeros. It guards against accidents, not against forgers.
"""

from __future__ import annotations

import functools
import mmap
import re
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from pose2id.errors import DataError

KEY: Final = "pose2id.seal"
_MARK: Final = b"xxh3-128:"
_N_DIGITS: Final = 32
_UNSEALED: Final = _MARK + b"0" * _N_DIGITS

_NO_TABLE: Final = (pa.ArrowException, OSError, ValueError)

State = Literal["sealed", "broken", "none"]


class DamagedTableError(DataError):
    """A table is not what was written.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} is damaged ({reason}). Delete it, then run the pipeline again: it is fetched "
            "from DVC's cache or made again"
        )
        self.path, self.reason = path, reason

    def __reduce__(self) -> tuple[type[DamagedTableError], tuple[Path, str]]:
        """Worker processes send it to the stage."""
        return type(self), (self.path, self.reason)


def write_sealed(path: Path, table: pa.Table, **options: object) -> None:
    """Writes a Parquet file with a seal; the same table gives the same bytes.

    Args:
        path: The file, not yet visible to readers.
        table: The rows.
        options: Of `pyarrow.parquet.ParquetWriter`, except `row_group_size`.
    """
    row_group_size = options.pop("row_group_size", None)
    with pq.ParquetWriter(path, table.schema, **options) as writer:
        writer.write_table(table, row_group_size=row_group_size)
        writer.add_key_value_metadata({KEY: _UNSEALED.decode()})
    with path.open("rb+") as file, mmap.mmap(file.fileno(), 0) as content:
        place = content.rfind(_UNSEALED) + len(_MARK)
        digest = xxhash.xxh3_128(content).hexdigest().encode()
        content[place : place + _N_DIGITS] = digest


def state_of(path: Path) -> State:
    """Whether a file's seal is there and right; each version of a file is read once per process.

    Args:
        path: A file of any kind.

    Returns:
        `sealed`, `broken`, or `none` for a file that was never sealed.

    Raises:
        OSError: The file cannot be read.
    """
    status = path.stat()
    return _state(path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@functools.lru_cache(maxsize=65536)
def _state(path: Path, *_version: int) -> State:
    with path.open("rb") as file:
        if not _version[1]:
            return "none"
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            place = content.rfind(_MARK)
            if place < 0:
                return "none"
            place += len(_MARK)
            digest = xxhash.xxh3_128()
            with memoryview(content) as view:
                for part in (view[:place], b"0" * _N_DIGITS, view[place + _N_DIGITS :]):
                    digest.update(part)
                    if isinstance(part, memoryview):
                        part.release()
            found = content[place : place + _N_DIGITS]
    return "sealed" if digest.hexdigest().encode() == found else "broken"


def seal_of(path: Path) -> str | None:
    """The digest that a file claims to have, without reading more than its end."""
    if not path.stat().st_size:
        return None
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        place = content.rfind(_MARK)
        digits = content[place + len(_MARK) : place + len(_MARK) + _N_DIGITS]
    known = place >= 0 and re.fullmatch(rb"[0-9a-f]{32}", digits)
    return digits.decode() if known else None


def read_sealed(path: Path, columns: list[str] | None = None, *, strict: bool = False) -> pa.Table:
    """Reads a Parquet file if its seal is right.

    Args:
        path: The file.
        columns: Only these.
        strict: Refuse files without a seal; else they are read, as tables of others have none.

    Returns:
        The rows, without the file's metadata.

    Raises:
        DamagedTableError: The file is not what was written, or no table at all.
    """
    with open_sealed(path, strict=strict) as file:
        try:
            return file.read(columns=columns).replace_schema_metadata(None)
        except _NO_TABLE as error:
            raise DamagedTableError(path, _first_line(error)) from error


def open_sealed(path: Path, *, strict: bool = False) -> pq.ParquetFile:
    """Opens a Parquet file, to be closed by the caller, if its seal is right; see `read_sealed`.

    Raises:
        DamagedTableError: The file is not what was written, or no table at all.
    """
    check(path, strict=strict)
    try:
        return pq.ParquetFile(path)
    except _NO_TABLE as error:
        raise DamagedTableError(path, _first_line(error)) from error


def table_schema(path: Path) -> pa.Schema:
    """The schema of a file, with its producer in the metadata; see `open_sealed`."""
    with open_sealed(path) as file:
        return file.schema_arrow


def check(path: Path, *, strict: bool = False) -> None:
    """Refuses a file that is not what was written; see `read_sealed`.

    Raises:
        DamagedTableError: The seal is broken; or there is none and `strict` asks for one.
    """
    try:
        state = state_of(path)
    except OSError as error:
        raise DamagedTableError(path, error.strerror or str(error)) from error
    if state == "broken":
        raise DamagedTableError(path, "its bytes are not those that were written")
    if strict and state == "none":
        raise DamagedTableError(path, "it is not a table of this project")


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
