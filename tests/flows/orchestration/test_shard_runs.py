"""What a stage's process records appears in Prefect as it happened."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentTaskRunId,
    LogFilter,
    LogFilterTaskRunId,
)
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.context import TaskRunContext

from flows.orchestration.events import PARENT_TASK_RUN, events_file, follow, record_event
from flows.orchestration.prefect_server import connect
from flows.orchestration.shard_runs import ShownShards
from flows.orchestration.shards import run_with_retries
from pose2id.errors import DataError
from tasks.stages.base import Job, ShardReport
from tasks.tables.params import load_params
from tests.conftest import ROOT


@pytest.fixture
def events(tmp_path: Path, monkeypatch) -> Path:
    (tmp_path / ".cache").mkdir()
    monkeypatch.setenv(PARENT_TASK_RUN, "1")
    found = events_file(tmp_path)
    assert found is not None
    return found


def read(path: Path) -> list[dict[str, object]]:
    ended = threading.Event()
    ended.set()
    return list(follow(path, ended))


def test_events_arrive_in_order_and_whole(tmp_path: Path, events: Path):
    assert read(events) == []
    record_event(tmp_path, "started", label="a 1/2")
    record_event(tmp_path, "done", label="a 1/2", text="two\nlines")
    with events.open("a", encoding="utf-8") as file:
        file.write('{"kind": "do')  # a process was killed while it wrote
    assert read(events) == [
        {"kind": "started", "label": "a 1/2"},
        {"kind": "done", "label": "a 1/2", "text": "two\nlines"},
    ]


def test_without_a_flow_nothing_is_told(tmp_path: Path, monkeypatch):
    monkeypatch.delenv(PARENT_TASK_RUN, raising=False)
    record_event(tmp_path, "started", label="a 1/2")
    assert list(tmp_path.iterdir()) == []


class Failing:
    """Stands in for a stage whose shards fail in the way that their number says."""

    tries = 0

    @classmethod
    def run_shard(cls, job: Job) -> ShardReport:
        cls.tries += 1
        if job.shard == 1:
            raise DataError("unusable")
        if cls.tries == 1:
            raise OSError("may pass")
        return ShardReport(3, 2, 1, ("a note",))


def test_tries_of_a_shard_are_told(tmp_path: Path, events: Path, monkeypatch):
    monkeypatch.setattr("flows.orchestration.jobs.load_stage", lambda name: Failing)
    params = load_params(ROOT / "params.yaml")
    first, second = (Job("generate", "query", i, 2, str(tmp_path), params) for i in range(2))
    run_with_retries(first, 2)
    with pytest.raises(DataError):
        run_with_retries(second, 2)
    told = [(event["kind"], str(event.get("text", "")).strip()[-8:]) for event in read(events)]
    assert told[0] == ("started", "")
    assert told[1] == ("again", "may pass")
    assert told[2] == ("done", ", a note")
    assert told[3:] == [("started", ""), ("failed", "unusable")]


@pytest.mark.slow
def test_shards_end_in_the_states_that_were_told(tmp_path: Path, monkeypatch):
    (tmp_path / ".cache").mkdir()
    monkeypatch.setenv("PREFECT_API_URL", connect())

    @task(persist_result=False)
    def stage() -> tuple[UUID, str | None]:
        context = TaskRunContext.get()
        assert context is not None
        parent = context.task_run.id
        monkeypatch.setenv(PARENT_TASK_RUN, str(parent))
        path = events_file(tmp_path)
        assert path is not None
        with ShownShards(path, "generate query", parent) as shown:
            record_event(tmp_path, "note", text="starting a cluster")
            record_event(tmp_path, "shards", n_shards=4, retries=4)
            for label in ("1/4", "2/4", "3/4", "4/4"):
                record_event(tmp_path, "started", label=label)
            record_event(tmp_path, "again", label="1/4", text="may pass")
            record_event(tmp_path, "done", label="1/4", text="3 rows")
            record_event(tmp_path, "started", label="2/4")  # by a new worker: the first was killed
            record_event(tmp_path, "done", label="2/4", text="3 rows")
            record_event(tmp_path, "failed", label="3/4", text="unusable")
            record_event(tmp_path, "error", text="the stage's reason")
            reason = shown.wait_for_reason()
        assert not path.exists()
        return parent, reason

    @flow(persist_result=False)
    def parent_flow() -> tuple[UUID, str | None]:
        return stage()

    parent, reason = parent_flow()
    assert reason == "the stage's reason"
    assert "starting a cluster" in logged(parent)
    run, shards = below(parent)
    assert run.name == "generate query"
    assert run.state_name == "Failed"
    found = {shard.name: (shard.state_name, shard.run_count) for shard in shards}
    assert found == {
        "1/4": ("Completed", 2),
        "2/4": ("Completed", 2),
        "3/4": ("Failed", 1),
        "4/4": ("Failed", 1),  # the stage ended before it did
    }
    messages = [shard.state.message or "" for shard in shards if shard.state]
    assert any("unusable" in message for message in messages)
    assert any("the process of this stage ended" in message for message in messages)


def logged(task_run: UUID) -> list[str]:
    """What the page of a task run says; logs are sent every two seconds."""
    filtered = LogFilter(task_run_id=LogFilterTaskRunId(any_=[task_run]))
    deadline = time.monotonic() + 60
    with get_client(sync_client=True) as client:
        while not (lines := client.read_logs(log_filter=filtered)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    return [line.message for line in lines]


def below(parent: UUID) -> tuple[FlowRun, list[TaskRun]]:
    """The flow run of a stage, and its shards."""
    filtered = FlowRunFilter(parent_task_run_id=FlowRunFilterParentTaskRunId(any_=[parent]))
    with get_client(sync_client=True) as client:
        (run,) = client.read_flow_runs(flow_run_filter=filtered)
        shards = client.read_task_runs(flow_run_filter=filtered)
    return run, shards
