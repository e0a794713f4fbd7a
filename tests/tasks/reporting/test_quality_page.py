"""The quality page's tables."""

from __future__ import annotations

import duckdb
import pytest

from tasks.reporting.quality import expectations_shown
from tasks.reporting.tables import Tables

ROWS = [
    ("generated", "train", "ExpectNotInSet", "presence", "missing", "critical", True, 9, 0),
    ("generated", "train", "ExpectNotInSet", "presence", "extra", "critical", True, 9, 0),
    ("features", "query", "ExpectBetween", "norm", "zero", "warning", False, 9, 2),
]


class Connected(Tables):
    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        object.__setattr__(self, "connection", connection)


@pytest.mark.parametrize("rows", [ROWS, ROWS[::-1]])
def test_expectations_that_differ_in_their_code_alone_keep_their_places(rows: list[object]) -> None:
    connection = duckdb.connect()
    connection.execute(
        'CREATE TABLE expectations (suite TEXT, split TEXT, expectation TEXT, "column" TEXT,'
        " code TEXT, severity TEXT, success BOOL, n_checked INT, n_unexpected INT)"
    )
    connection.executemany("INSERT INTO expectations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    shown = expectations_shown(Connected(connection))
    assert [row["code"] for row in shown] == ["zero", "extra", "missing"]
