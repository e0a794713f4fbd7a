"""Answers SQL, or one of the named questions, from the tables."""

from __future__ import annotations

import base64
import contextlib
import csv
import json
import math
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.console import harmless_text, show, show_note, show_table
from flows.cli.project import PARAMS_FILE, Params
from flows.cli.questions import find_sql, read_questions
from flows.process.privacy import load_project
from pose2id.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

TABLE_ROWS = 50  # rows of a table for people, unless --limit says otherwise
FETCH_ROWS = 2048

app = typer.Typer()


@app.command()
def main(
    question: Annotated[
        str, typer.Argument(help="SQL in quotes, or the name of a question. Default: list them.")
    ] = "",
    list_questions: Annotated[
        bool, typer.Option("--list", help="List the named questions.")
    ] = False,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the SQL instead of running it.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print all rows as CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all rows as JSON.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0, help=f"Most rows to print, 0 for all. Default of tables: {TABLE_ROWS}."
        ),
    ] = None,
    params: Params = PARAMS_FILE,
) -> None:
    """Answers a question about images, pictures, features, verdicts and scores.

    The tables are the views of data/pose2id.duckdb. A question reads them and nothing else on this
    machine; nothing can be changed from here.
    """
    if as_csv and as_json:
        raise typer.BadParameter("give --csv or --json, not both")
    if not question or list_questions:
        show_table(("name", "question"), [(q.name, q.text) for q in read_questions()])
        show_note('views: pose2id query "SHOW TABLES"; columns: pose2id query "DESCRIBE summary"')
        return
    statement = find_sql(question)
    if sql:
        show(statement)
        return
    with open_database(params) as connection:
        columns, rows = answer(connection, statement)
        if as_csv:
            _print_csv(columns, _first(rows, limit or 0))
        elif as_json:
            _print_json(columns, _first(rows, limit or 0))
        else:
            _print_table(columns, rows, TABLE_ROWS if limit is None else limit)


@contextlib.contextmanager
def open_database(params: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The project's tables for reading; no file is locked, whoever else reads or writes them."""
    from tasks.tables.questions import open_for_questions
    from tasks.tables.schema import Layout

    with open_for_questions(Layout(), load_project(params).splits) as connection:
        yield connection


def answer(
    connection: duckdb.DuckDBPyConnection, sql: str
) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """Runs one SELECT.

    Args:
        connection: From `open_database`.
        sql: One statement that reads.

    Returns:
        Names of the columns, made different from each other, and the rows.

    Raises:
        DataError: The SQL is not one statement that reads, or the database refuses it.
    """
    from tasks.tables.questions import reading_statement

    with _clear_errors(connection):
        cursor = connection.execute(reading_statement(connection, sql))
    names = _distinct([column[0] for column in cursor.description or []])

    def rows() -> Iterator[tuple[Any, ...]]:
        with _clear_errors(connection):
            while batch := cursor.fetchmany(FETCH_ROWS):
                yield from batch

    return names, rows()


@contextlib.contextmanager
def _clear_errors(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        views = ", ".join(_views(connection)) or "none yet: run dvc repro"
        raise DataError(f"this SQL does not work. {error}\nThe views are {views}") from error


def _views(connection: duckdb.DuckDBPyConnection) -> list[str]:
    sql = "SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1"
    return [row[0] for row in connection.execute(sql).fetchall()]


def _distinct(names: list[str]) -> list[str]:
    """Column names with a number behind those that occur again.

    >>> _distinct(["pid", "ap", "pid"])
    ['pid', 'ap', 'pid_2']
    """
    return [
        name if name not in names[:i] else f"{name}_{names[: i + 1].count(name)}"
        for i, name in enumerate(names)
    ]


def _first(rows: Iterator[tuple[Any, ...]], limit: int) -> Iterator[tuple[Any, ...]]:
    """At most `limit` rows; all of them for 0."""
    for number, row in enumerate(rows):
        if limit and number == limit:
            return
        yield row


def _print_table(columns: list[str], rows: Iterator[tuple[Any, ...]], limit: int) -> None:
    shown = list(_first(rows, limit + 1 if limit else 0))
    more = bool(limit) and len(shown) > limit
    show_table(columns, shown[:limit] if more else shown)
    if more:
        show_note(f"the first {limit} rows; --limit 0 prints all")
    elif not shown:
        show_note("no rows")


def _print_csv(columns: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([harmless_text(column) for column in columns])
    for row in rows:
        writer.writerow([_csv_value(_json_value(value)) for value in row])


def _csv_value(value: object) -> object:
    if isinstance(value, list | dict):
        value = json.dumps(value)
    return harmless_text(value) if isinstance(value, str) else value


def _print_json(columns: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    """A JSON array with one object per line."""
    before = "["
    for row in rows:
        values = [_json_value(value) for value in row]
        record = json.dumps(dict(zip(columns, values, strict=True)), ensure_ascii=False)
        sys.stdout.write(f"{before}\n{record}")
        before = ","
    show("[]" if before == "[" else "\n]")


def _json_value(value: object) -> object:
    """A value that JSON has: bytes as base64, NaN and infinity as null, dates as text."""
    if isinstance(value, float | Decimal):
        value = float(value)
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    return value if value is None or isinstance(value, bool | int | str) else str(value)
