"""`data/pose2id.duckdb`: one view per table, so that a question is one line of SQL.

The file holds no rows, only views over the Parquet files. DuckDB writes a random database id into
it, so its bytes differ from build to build and it is no versioned output; it is made anew in
milliseconds.
"""

from __future__ import annotations

import contextlib
import logging
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pose2id.errors import DataError
from tasks.tables.schema import Layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

log = logging.getLogger(__name__)
_NAME = re.compile(r'CREATE VIEW "?(\w+)"? AS', re.IGNORECASE)
_PATH = re.compile(r"'(data/[^']+)'")


@dataclass(frozen=True, slots=True)
class Catalog:
    """What was built: the file, its views, and the views left out because no file is there."""

    path: Path
    views: tuple[str, ...]
    left_out: tuple[str, ...]


def build_catalog(layout: Layout, splits: Sequence[str]) -> Catalog:
    """Builds the database of views of `data/views.sql` and puts it in place of the old one.

    A reader that has the old file open keeps it; a new reader finds the new one.

    Args:
        layout: The project.
        splits: Names of the splits whose files the views cover.

    Returns:
        The views made and those left out.

    Raises:
        DataError: A statement cannot be understood or its files cannot be read.
    """
    layout.data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=layout.data) as folder:
        fresh = Path(folder) / layout.database.name
        # DuckDB looks relative paths up in the working directory before any search path.
        with connect(fresh, layout.root) as connection, contextlib.chdir(layout.root):
            made, left_out = create_views(connection, layout, splits)
        fresh.replace(layout.database)
    if left_out:
        log.info("no files yet for the view(s) %s", ", ".join(left_out))
    return Catalog(layout.database, made, left_out)


def create_views(
    connection: duckdb.DuckDBPyConnection, layout: Layout, splits: Sequence[str], base: str = ""
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Creates the views of the project's `data/views.sql` in an open connection.

    Args:
        connection: From `connect`.
        layout: The project.
        splits: Names of the splits whose files the views cover.
        base: What to put before each path: an absolute folder with a slash at its end makes the
            views independent of the working directory.

    Returns:
        Names of the views made, and of those left out because no file is there.

    Raises:
        DataError: A statement cannot be understood or its files cannot be read.
    """
    import duckdb

    source = layout.data / "views.sql"
    made: list[str] = []
    left_out: list[str] = []
    for name, statement in read_statements(source):
        sql = fill_paths(statement, layout.root, splits, base)
        if sql is None:
            left_out.append(name)
            continue
        try:
            connection.execute(sql)
        except duckdb.Error as error:
            raise DataError(
                f"the view {name!r} of {source} cannot be made: {error}; the files below "
                f"{layout.data} are not what the stages write: run dvc repro"
            ) from error
        made.append(name)
    return tuple(made), tuple(left_out)


def connect(
    database: Path | None, root: Path, *, read_only: bool = False
) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection that finds the project's files and never asks the network.

    Args:
        database: The file, or `None` for one in memory.
        root: Relative paths in views and queries are looked up in the working directory and then
            here; so do not work inside another project.
        read_only: Open the file without the right to change it.

    Returns:
        The connection; close it, or use it as a context manager.
    """
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    connection = duckdb.connect(
        ":memory:" if database is None else str(database), read_only=read_only, config=config
    )
    connection.execute("SET file_search_path = ?", [str(root.resolve())])
    connection.execute("SET enable_progress_bar = false")
    return connection


def read_statements(source: Path) -> list[tuple[str, str]]:
    """The view names and statements of a `views.sql`, in order.

    Raises:
        DataError: The file is missing or holds something else than views.
    """
    if not source.is_file():
        raise DataError(f"there is no {source}; it comes with the project: git checkout {source}")
    lines = source.read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("--"))
    found: list[tuple[str, str]] = []
    for statement in filter(None, (part.strip() for part in text.split(";"))):
        name = _NAME.match(statement)
        if name is None:
            raise DataError(f"{source} may hold only CREATE VIEW statements, got: {statement[:80]}")
        found.append((name.group(1), statement))
    return found


def fill_paths(statement: str, root: Path, splits: Sequence[str], base: str = "") -> str | None:
    """Puts the list of existing files in place of each path; `None` when a path has none.

    Example:
        >>> fill_paths("SELECT * FROM 'data/none.parquet'", Path("/nowhere"), ["query"]) is None
        True
    """
    missing = False
    quoted = base.replace("'", "''")

    def files(match: re.Match[str]) -> str:
        nonlocal missing
        patterns = [match.group(1).replace("{split}", split) for split in splits]
        existing = [p for p in dict.fromkeys(patterns) if any(root.glob(p))]
        missing |= not existing
        return "[" + ", ".join(f"'{quoted}{pattern}'" for pattern in existing) + "]"

    filled = _PATH.sub(files, statement)
    return None if missing else filled
