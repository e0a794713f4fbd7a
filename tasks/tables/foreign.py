"""Parquet files that someone else wrote: read whole, or refused in words."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pose2id.errors import DataError
from pose2id.pointers import pointer_at


def read_foreign_table(path: Path, name: str) -> pa.Table:
    """Reads a Parquet file that no stage of this project has made.

    Args:
        path: The file.
        name: The parameter that names it, for messages.

    Returns:
        Its rows, checked to be what the file's schema says, without metadata.

    Raises:
        DataError: There is none, it only stands for the file, or it is no whole Parquet file.
    """
    if not path.is_file():
        raise DataError(f"{name} is {path}, but there is no such file")
    if pointer := pointer_at(path):
        raise DataError(f"{name} is {path}, which {pointer}")
    try:
        table = pq.read_table(path, partitioning=None)
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{name} is {path}, which is no whole Parquet file: {str(error)[:300]}; write it again"
        ) from error
    return table.replace_schema_metadata(None)
