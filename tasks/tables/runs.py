"""The table of runs, of which there are two: nothing can make the history again."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tasks.tables import schema
from tasks.tables.aside import read_kept
from tasks.tables.store import write_table

COMPLETED = "completed"  # the outcome of a run that did all it had to


def read_runs(layout: schema.Layout) -> pa.Table | None:
    """All runs; `None` before the first. A damaged table is put aside, and its copy read."""
    for path in (layout.runs, _copy(layout)):
        table = read_kept(path, layout.cache, strict=False)
        if table is not None and table.schema.names == schema.RUNS.names:
            return table
    return None


def write_runs(layout: schema.Layout, table: pa.Table) -> None:
    """Writes all runs, and the copy that is read if they are damaged."""
    for path in (layout.runs, _copy(layout)):
        write_table(path, table, producer="history")


def _copy(layout: schema.Layout) -> Path:
    return layout.cache / "history" / layout.runs.name
