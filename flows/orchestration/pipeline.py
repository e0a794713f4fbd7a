"""The Prefect flow over DVC's own stage graph: `pose2id run`.

DVC decides what must run and records what ran, as `dvc repro` does; Prefect shows it. Each stage of
dvc.yaml is one task run, which ends as the stage does, and its shards appear below it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext, TaskRunContext
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Cancelled, Completed
from prefect.task_engine import run_task

from flows.orchestration import run_page
from flows.orchestration.alerts import send_alert
from flows.orchestration.events import events_of
from flows.orchestration.prefect_server import connect, ended_with, wait_until_recorded
from flows.orchestration.reproduction import Outcome, Reproduction
from flows.orchestration.shard_runs import ShownShards
from flows.orchestration.watch import remember, signature, unchanged
from flows.process.environment import environment, prepare
from flows.process.failure import WorkFailedError
from flows.process.lock import PipelineBusyError
from flows.process.repair import remember_servers
from tasks.tables.history import append_run, last_completed
from tasks.tables.schema import Layout

if TYPE_CHECKING:
    from flows.orchestration.temporary_server import TemporaryServer


class StageFailedError(WorkFailedError):
    """A stage of the pipeline did not finish; the message is the stage's own."""


@dataclass(slots=True)
class OurRun:
    """What a run from the command line and its flow know of each other.

    Attributes:
        reproduction: DVC's pass, if it has begun before the flow.
        last_task_run: The flow's last task run that shows a stage.
    """

    reproduction: Reproduction | None = None
    last_task_run: UUID | None = None


_OURS: ContextVar[OurRun | None] = ContextVar("ours", default=None)


@flow(name="pose2id", persist_result=False, on_failure=[send_alert], on_crashed=[send_alert])
def pipeline(root: Path = Path()) -> list[str] | State[Any]:
    """Runs every stage of dvc.yaml that is out of date and records the run.

    Args:
        root: The project's root folder.

    Returns:
        The stages that ran; a cancelled state if another run is under way.

    Raises:
        StageFailedError: A stage failed; what ran before it is kept.
    """
    prepare()  # a worker of your own Prefect has not run the command
    ours = _OURS.get() or OurRun()
    try:
        with (
            environment({"PREFECT_API_URL": connect()}),
            ours.reproduction or Reproduction(root) as reproduction,
        ):
            return _run(root, reproduction, ours)
    except PipelineBusyError as busy:
        return Cancelled(message=str(busy))


@flow(name="pose2id-watch", persist_result=False)
def watch(root: Path = Path()) -> State[Any]:
    """Runs the pipeline if images have arrived, changed or gone since it last completed.

    Args:
        root: The project's root folder.

    Returns:
        What was found, as the run's final state.
    """
    found = signature(root)
    if unchanged(root, found):
        return Completed(message="no image has arrived, changed or gone")
    state = pipeline(root, return_state=True)
    if state.is_completed():
        remember(root, found)
    return state


@task(task_run_name="{address}", persist_result=False, cache_policy=NO_CACHE)
def reproduce(address: str, root: Path, wait: Callable[[], Outcome]) -> float | None:
    """Shows what becomes of a stage, and its shards while it runs.

    Args:
        address: DVC's name of the stage, such as `generate@query`.
        root: The project's root folder.
        wait: Returns once the stage is over.

    Returns:
        The seconds that the stage ran; `None` if nothing had changed.

    Raises:
        StageFailedError: The stage's command failed.
    """
    context = TaskRunContext.get()
    if context is None:
        raise StageFailedError("reproduce is a part of the flow: pose2id run")
    task_run_id = context.task_run.id
    events = events_of(root, task_run_id)
    with ShownShards(events, address.replace("@", " "), task_run_id) as shards:
        outcome = wait()
        if outcome.failure is not None:
            reason = shards.wait_for_reason()
            run_page.close_shards_of(task_run_id)
            run_page.show_failure(Layout(root), address)
            raise StageFailedError(f"stage {address} failed: {reason or outcome.failure}")
    seconds = outcome.seconds
    said = "nothing to do" if seconds is None else f"ran for {seconds:.1f} s"
    get_run_logger().info("%s: %s", address, said)
    return seconds


def _show_stages(
    root: Path, reproduction: Reproduction, ours: OurRun, stage_seconds: dict[str, float]
) -> None:
    """Shows each stage of DVC's pass as a task run.

    Args:
        root: The project's root folder.
        reproduction: The pass.
        ours: Is told which task run was the last.
        stage_seconds: Gets the seconds of every stage that ran, by its address.

    Raises:
        StageFailedError: A stage's command failed.
        PassEndedError: The pass ended early, and not by a stage.
    """
    for stage in reproduction.stages():
        ours.last_task_run = stage.task_run_id
        given = {"address": stage.address, "root": root, "wait": reproduction.outcome}
        state = run_task(
            reproduce, task_run_id=stage.task_run_id, parameters=given, return_type="state"
        )
        seconds = state.result()
        if seconds is not None:
            stage_seconds[stage.address] = seconds


def _run(root: Path, reproduction: Reproduction, ours: OurRun) -> list[str]:
    layout = Layout(root)
    before = last_completed(layout)
    stage_seconds: dict[str, float] = {}
    outcome = "interrupted"
    try:
        _show_stages(root, reproduction, ours, stage_seconds)
        outcome = "completed"
    except WorkFailedError as error:
        outcome = str(error)
        raise
    finally:
        row = append_run(
            root,
            started=reproduction.started,
            duration_s=time.monotonic() - reproduction.clock,
            trigger=_trigger(),
            outcome=outcome,
            stage_seconds=stage_seconds,
        )
    run_page.show_results(layout, row, before)
    return list(stage_seconds)


def _trigger() -> str:
    """Whether a deployment (a schedule or a click) or a person at a terminal started the run."""
    context = FlowRunContext.get()
    deployed = context and context.flow_run and context.flow_run.deployment_id
    return "deployment" if deployed else "flow"


def run_here(root: Path, server: TemporaryServer | None, reproduction: Reproduction | None) -> None:
    """Runs the flow from the command line, with a temporary server if there is no other.

    Args:
        root: The project's root folder.
        server: One that is starting; without, Prefect finds one or starts one.
        reproduction: DVC's pass, if it has begun.

    Raises:
        StageFailedError: The run did not complete.
        NoServerError: No Prefect server answers.
    """
    settings: dict[Any, None] = {}
    if server is not None:
        server.wait()
        # At the end of a flow Prefect waits up to a second for what sends them, to nobody here.
        settings[PREFECT_FLOWS_HEARTBEAT_FREQUENCY] = None
    connect()
    _OURS.set(ours := OurRun(reproduction))
    with ended_with(remember_servers(root)), temporary_settings(settings):
        state: State[Any] = pipeline(root, return_state=True)
        if server is not None and ours.last_task_run is not None:
            wait_until_recorded(ours.last_task_run)
    if not state.is_completed():
        raise StageFailedError(state.message)
