"""What a run's page in Prefect shows: results, report, and the reasons of a failure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentTaskRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType
from prefect.states import Crashed

from flows.cli.results import as_markdown
from flows.process.environment import REPORT_URL
from tasks.tables.schema import Layout
from tasks.tables.store import read_table

MAX_ROWS = 200  # of a table on the page; the files have all of them
ALIVE = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


def show_results(layout: Layout, row: Mapping[str, Any], before: Mapping[str, Any] | None) -> None:
    """Puts the results table, with the change since the last run, and a link to the report there.

    Args:
        layout: The project's tables.
        row: This run's row of `data/runs.parquet`.
        before: The row of the last completed run before it.
    """
    table = as_markdown(row, before)
    create_markdown_artifact(table, key="results", description="All variants, and the change")
    page = (layout.reports / "index.html").resolve()
    if page.is_file():
        address = os.environ.get(REPORT_URL, page.as_uri())
        create_link_artifact(address, key="report", link_text="The report of this run")


def show_failure(layout: Layout, address: str) -> None:
    """Puts the reasons there why a quality gate failed.

    Args:
        layout: The project's tables.
        address: DVC's name of the stage, such as `validate@query`.
    """
    stage, _, split = address.partition("@")
    if stage == "validate":
        _show_gates(layout, split)
    elif stage == "index" and layout.rejects(split).is_file():
        rows = read_table(layout.rejects(split)).to_pylist()
        rejects = [row for row in rows if row["kind"] == "unusable"]
        title = f"{len(rejects)} unusable files of {split}"
        create_table_artifact(_printable(rejects), key=f"rejects-{split}", description=title)


def _show_gates(layout: Layout, split: str) -> None:
    path = layout.failed_expectations(split)
    if not path.is_file():
        return
    failed = [row for row in read_table(path).to_pylist() if not row["success"]]
    title = f"Expectations that {split} does not meet"
    create_table_artifact(_printable(failed), key=f"expectations-{split}", description=title)
    if layout.quarantine(split).is_file():
        rows = read_table(layout.quarantine(split)).to_pylist()
        title = f"{len(rows)} rejected rows of {split}, each with the command that remakes it"
        create_table_artifact(_printable(rows), key=f"quarantine-{split}", description=title)


def _printable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as text: the page shows names of files and must not take them for HTML."""
    from html import escape

    return [
        {name: escape("" if value is None else str(value)) for name, value in row.items()}
        for row in rows[:MAX_ROWS]
    ]


def close_shards_of(task_run_id: UUID) -> None:
    """Marks the flow run of a stage as crashed if its process is gone and could not do so.

    Args:
        task_run_id: The task run that started the stage.
    """
    below = FlowRunFilter(
        parent_task_run_id=FlowRunFilterParentTaskRunId(any_=[task_run_id]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=ALIVE)),
    )
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=below):
            state: State[Any] = Crashed(message="the process of this stage ended")
            client.set_flow_run_state(run.id, state, force=True)
