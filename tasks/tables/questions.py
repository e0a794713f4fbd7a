"""Questions to the tables that can read the project's tables and nothing else, and change nothing.

Three things stand between a question and the machine, each enough by itself for most tricks: only
one statement that reads is taken, DuckDB may open no file outside of the tables' folders, and a
statement whose plan holds a step that writes is not run.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pose2id.errors import DataError
from tasks.tables.catalog import open_views
from tasks.tables.schema import TABLE_FOLDERS, Layout

if TYPE_CHECKING:
    import duckdb

# A statement inside of a question (WITH x AS (COPY ...)) begins with one of these words.
_WRITING_WORDS = frozenset(("copy", "delete", "export", "insert", "merge", "update"))
_WRITING_STEPS = ("COPY", "CREATE", "DELETE", "EXPORT", "INSERT", "MERGE", "UPDATE")


@contextlib.contextmanager
def open_for_questions(
    layout: Layout, splits: Sequence[str]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The views in a database in memory that reads the project's tables and no other file.

    Nobody has to wait: no file is locked, and a run may go on beside it.

    Args:
        layout: The project.
        splits: Names of the splits whose files the views cover.

    Yields:
        The connection; its settings are locked.

    Raises:
        DataError: The views cannot be made.
    """
    with open_views(layout, splits) as (connection, _):
        connection.execute("SET temp_directory = ''")  # what does not fit in memory is refused
        plain = connection.execute("SELECT current_setting('file_search_path')").fetchall()[0][0]
        folders = [f"{layout.data.resolve()}/", f"{plain}/data/"]
        connection.execute("SET allowed_directories = ?", [folders])
        connection.execute("SET allowed_paths = ?", [_linked_tables(layout)])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


def reading_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """The one statement of a question, once it is sure that it only reads.

    Args:
        connection: From `open_for_questions`.
        sql: The question.

    Returns:
        The statement, not yet run.

    Raises:
        DataError: It is not one statement that reads.
        duckdb.Error: The SQL cannot be understood.
    """
    import duckdb

    statements = connection.extract_statements(sql)
    reading = (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI)  # MULTI: PIVOT
    if len(statements) != 1 or statements[0].type not in reading:
        raise DataError(
            "a question is one SELECT (or FROM, WITH, PIVOT, DESCRIBE, SUMMARIZE, SHOW "
            f"TABLES); got {len(statements)} statement(s): {sql.strip()[:80]!r}"
        )
    words = _words(sql) & _WRITING_WORDS
    if words:
        # PIVOT runs parts of itself to be planned, so this must stand before the plan.
        raise DataError(
            f"a question only reads; it may not say {', '.join(sorted(words)).upper()} (a column "
            f"of that name goes in double quotes): {sql.strip()[:80]!r}"
        )
    plans = connection.execute("EXPLAIN (FORMAT json) " + statements[0].query).fetchall()
    for _, plan in plans:
        for step in json.loads(plan):
            _check_step(step)
    return statements[0]


def _words(sql: str) -> set[str]:
    """The bare words of a question in lower case: no text, no quoted name, no remark.

    >>> sorted(_words('SELECT "copy" FROM t -- copy'))
    ['from', 'select', 't']
    """
    import duckdb

    tokens = duckdb.tokenize(sql)
    ends = [start for start, _ in tokens[1:]] + [len(sql.encode())]
    data = sql.encode()
    bare = (duckdb.token_type.keyword, duckdb.token_type.identifier)
    texts = (
        data[start:end].split(maxsplit=1)[0].decode(errors="replace").lower()
        for (start, kind), end in zip(tokens, ends, strict=True)
        if kind in bare and data[start:end].strip()
    )
    return {text for text in texts if not text.startswith('"')}


def _check_step(step: dict[str, Any]) -> None:
    if any(word in step["name"].upper() for word in _WRITING_STEPS):
        raise DataError(f"a question only reads; this one would {step['name'].replace('_', ' ')}")
    for below in step["children"]:
        _check_step(below)


def _linked_tables(layout: Layout) -> list[str]:
    """Files of tables that are links to elsewhere, as DVC makes them with `cache.type: symlink`."""
    files = list(layout.data.glob("*.parquet"))
    for name in TABLE_FOLDERS:
        files += (layout.data / name).rglob("*")
    return [str(file.resolve()) for file in files if file.is_symlink() and file.is_file()]
