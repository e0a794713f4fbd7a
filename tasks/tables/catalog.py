"""`data/pose2id.duckdb`: one view per table, so that a question is one line of SQL.

The file holds no rows, only views over the Parquet files. DuckDB writes a random database id into
it, so its bytes differ from build to build and it is no versioned output; it is made anew in
milliseconds.
"""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pose2id.errors import DataError
from tasks.tables.runs import read_runs, write_runs
from tasks.tables.schema import RUNS, Layout
from tasks.tables.store import atomic_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb

log = logging.getLogger(__name__)
_NAME = re.compile(r'CREATE VIEW "?(\w+)"? AS', re.IGNORECASE)
_PATH = re.compile(r"'(data/[^']+)'")
_ODD = frozenset("*?[]\\,")


@dataclass(frozen=True, slots=True)
class Catalog:
    """What was built: the file, its views, and the views left out because no file is there."""

    path: Path
    views: tuple[str, ...]
    left_out: tuple[str, ...]


def build_catalog(layout: Layout, splits: Sequence[str]) -> Catalog:
    """Builds the database of views of `data/views.sql` and puts it in place of the old one.

    A reader that has the old file open keeps it; a new reader finds the new one. The history of
    runs gets its file, still empty, so that its view is there from the first run on.

    Args:
        layout: The project.
        splits: Names of the splits whose files the views cover.

    Returns:
        The views made and those left out.

    Raises:
        DataError: A statement cannot be understood or its files cannot be read.
    """
    layout.data.mkdir(parents=True, exist_ok=True)
    if not layout.runs.is_file():
        kept = read_runs(layout)  # the copy, where the table itself was damaged
        write_runs(layout, RUNS.empty_table() if kept is None else kept)
    with _plain_scratch() as scratch:
        fresh = scratch / layout.database.name
        # The views' paths are relative, so that the project can be moved: DuckDB looks them up in
        # the working directory.
        with contextlib.chdir(layout.root), _connection(str(fresh)) as connection:
            made, left_out = create_views(connection, Layout(), splits)
        with atomic_path(layout.database) as temporary:
            shutil.copyfile(fresh, temporary)
    if left_out:
        log.info("no files yet for the view(s) %s", ", ".join(left_out))
    return Catalog(layout.database, made, left_out)


@contextlib.contextmanager
def open_views(
    layout: Layout, splits: Sequence[str]
) -> Iterator[tuple[duckdb.DuckDBPyConnection, tuple[str, ...]]]:
    """The views in a database in memory: no file is locked, and the working directory is free.

    Args:
        layout: The project.
        splits: Names of the splits whose files the views cover.

    Yields:
        The connection, and the names of its views.

    Raises:
        DataError: A statement cannot be understood or its files cannot be read.
    """
    with plain_path(layout.root) as root, _connection(":memory:") as connection:
        connection.execute("SET file_search_path = ?", [str(root)])
        made, _ = create_views(connection, layout, splits, f"{root}/")
        yield connection, made


@contextlib.contextmanager
def plain_path(folder: Path) -> Iterator[Path]:
    r"""A folder's absolute path as DuckDB takes it literally.

    DuckDB reads `*`, `?` and `[` in a path as a pattern, takes a backslash for a slash and parts
    a list of paths at commas. A folder with such a character in its path is named by a symbolic
    link to it, which lives as long as this context.

    Args:
        folder: The folder.

    Yields:
        Its own path, or the link's.

    Raises:
        DataError: The folder for temporary files has such a path itself.
    """
    path = folder.resolve()
    if not set(str(path)) & _ODD:
        yield path
        return
    with _plain_scratch() as scratch:
        link = scratch / "project"
        link.symlink_to(path, target_is_directory=True)
        yield link


def create_views(
    connection: duckdb.DuckDBPyConnection, layout: Layout, splits: Sequence[str], base: str = ""
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Creates the views of the project's `data/views.sql` in an open connection.

    Args:
        connection: Of DuckDB.
        layout: The project.
        splits: Names of the splits whose files the views cover.
        base: What to put before each path: an absolute folder with a slash at its end, see
            `plain_path`, makes the views independent of the working directory.

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
                f"the view {name!r} of {source} cannot be made: "
                f"{str(error).replace(base, '') if base else error}; the files below "
                f"{layout.data} are not what the stages write: run dvc repro"
            ) from error
        made.append(name)
    return tuple(made), tuple(left_out)


@contextlib.contextmanager
def _plain_scratch() -> Iterator[Path]:
    """An empty folder outside of the project whose path DuckDB takes literally."""
    with tempfile.TemporaryDirectory(prefix="pose2id-") as folder:
        scratch = Path(folder).resolve()
        if set(str(scratch)) & _ODD:
            raise DataError(
                f"the folder for temporary files, {str(scratch.parent)!r}, has one of "
                f"{' '.join(sorted(_ODD))} in its path, which DuckDB cannot take; set TMPDIR to "
                "another"
            )
        yield scratch


def _connection(database: str) -> duckdb.DuckDBPyConnection:
    """A connection that never asks the network and never reads variables of Python."""
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
    }
    connection = duckdb.connect(database, config=config)
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
