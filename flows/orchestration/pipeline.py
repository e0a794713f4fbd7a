"""The Prefect flow over DVC's own stage graph: `pose2id run`.

DVC decides what must run and records what ran, as `dvc repro` does; Prefect shows it. Each stage of
dvc.yaml is one task run, in which DVC reproduces that stage, and its shards appear below it. What
is done before a temporary server answers (`ahead`) is shown by a task run that only says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext, TaskRunContext
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Cancelled, Completed

from flows.orchestration import run_page
from flows.orchestration.ahead import OF_THIS_RUN, Ahead, Outcome
from flows.orchestration.alerts import send_alert
from flows.orchestration.events import PARENT_TASK_RUN, events_file, forget_events
from flows.orchestration.prefect_server import connect, ended_with, wait_until_recorded
from flows.orchestration.shard_runs import ShownShards
from flows.orchestration.watch import remember, signature, unchanged
from flows.process.environment import environment, prepare
from flows.process.failure import WorkFailedError
from flows.process.lock import PipelineBusyError, pipeline_lock
from flows.process.repair import end_orphan_server, mend_dvc_state, remember_servers
from tasks.tables.history import append_run, last_completed
from tasks.tables.schema import Layout

if TYPE_CHECKING:
    from dvc.stage import Stage

    from flows.orchestration.temporary_server import TemporaryServer


class StageFailedError(WorkFailedError):
    """A stage of the pipeline did not finish; the message is the stage's own."""


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
    try:
        with pipeline_lock(root, "pipeline flow", scope="run"):
            return _run(root)
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
def reproduce(address: str, root: Path, bring_up_to_date: Callable[[], object]) -> bool:
    """Brings one stage up to date; DVC runs its command only if something changed.

    Args:
        address: DVC's name of the stage, such as `generate@query`.
        root: The project's root folder.
        bring_up_to_date: Does it; what it returns is true if the stage ran.

    Returns:
        Whether the stage ran.

    Raises:
        StageFailedError: The stage's command failed.
    """
    from dvc.exceptions import DvcException

    context = TaskRunContext.get()
    if context is None:
        raise StageFailedError("reproduce is a part of the flow: pose2id run")
    task_run_id = context.task_run.id
    with environment({PARENT_TASK_RUN: str(task_run_id), "PREFECT_API_URL": connect()}):
        events = cast(Path, events_file(root))
        with ShownShards(events, address.replace("@", " "), task_run_id) as shards:
            try:
                ran = bool(bring_up_to_date())
            except DvcException as error:
                reason = shards.wait_for_reason()
                run_page.close_shards_of(task_run_id)
                run_page.show_failure(Layout(root), address)
                message = f"stage {address} failed: {reason or error.__cause__ or error}"
                raise StageFailedError(message) from error
    get_run_logger().info("%s: %s", address, "ran" if ran else "nothing to do")
    return ran


@task(task_run_name="{address}", persist_result=False, cache_policy=NO_CACHE)
def show_outcome(address: str, outcome: Outcome) -> None:
    """Shows a stage that was brought up to date before the flow.

    Args:
        address: DVC's name of the stage.
        outcome: What came of it.

    Raises:
        StageFailedError: The stage's command failed.
    """
    if outcome.failure is not None:
        raise StageFailedError(f"stage {address} failed: {outcome.failure}")
    ran = "nothing to do" if outcome.seconds is None else f"ran for {outcome.seconds:.1f} s"
    get_run_logger().info("%s: %s", address, ran)


def _reproduce_all(root: Path, ahead: Ahead, stage_seconds: dict[str, float]) -> None:
    """Does what `dvc repro` does, and shows each stage as a task run.

    Args:
        root: The project's root folder.
        ahead: What was done before.
        stage_seconds: Gets the seconds of every stage that ran, by its address.

    Raises:
        StageFailedError: A stage's command failed.
    """
    for address, outcome in ahead.outcomes.items():
        if outcome.seconds is not None:
            stage_seconds[address] = outcome.seconds
        _result(ahead, show_outcome(address, outcome, return_state=True))
    if ahead.complete:
        return
    from dvc.exceptions import ReproductionError
    from dvc.repo import Repo
    from dvc.repo.reproduce import _reproduce_stage

    def shown(stage: Stage, **options: Any) -> Stage | None:  # noqa: ANN401 - DVC's own
        if stage.addressing in ahead.outcomes:
            return None
        started = time.monotonic()
        bring_up_to_date = partial(_reproduce_stage, stage, **options)
        state = reproduce(stage.addressing, root, bring_up_to_date, return_state=True)
        if not _result(ahead, state):
            return None
        stage_seconds[stage.addressing] = time.monotonic() - started
        return stage

    try:
        with Repo(str(root)) as repo:
            repo.reproduce(repro_fn=shown)
    except ReproductionError as error:
        if isinstance(error.__cause__, StageFailedError):
            raise error.__cause__ from error.__cause__.__cause__
        raise


def _result(ahead: Ahead, state: State[Any]) -> Any:  # noqa: ANN401 - what the task returns
    """What a task run gave, or its error; notes that it was the last."""
    ahead.last_task_run = state.state_details.task_run_id
    return state.result()


def _run(root: Path) -> list[str]:
    layout = Layout(root)
    before = last_completed(layout)
    ahead = OF_THIS_RUN.get() or Ahead()
    stage_seconds: dict[str, float] = {}
    outcome = "interrupted"
    mend_dvc_state(root)
    forget_events(root)
    try:
        _reproduce_all(root, ahead, stage_seconds)
        outcome = "completed"
    except StageFailedError as error:
        outcome = str(error)
        raise
    finally:
        row = append_run(
            root,
            started=ahead.started,
            duration_s=time.monotonic() - ahead.clock,
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


def run_here(root: Path, server: TemporaryServer | None, ahead: Ahead | None) -> None:
    """Runs the flow from the command line, with a temporary server if there is no other.

    Args:
        root: The project's root folder.
        server: One that is starting; without, Prefect finds one or starts one.
        ahead: What was done while it started.

    Raises:
        StageFailedError: The run did not complete.
        NoServerError: No Prefect server answers.
    """
    settings: dict[Any, None] = {}
    if server is None:
        end_orphan_server(root)
    else:
        server.wait()
        # At the end of a flow Prefect waits up to a second for what sends them, to nobody here.
        settings[PREFECT_FLOWS_HEARTBEAT_FREQUENCY] = None
    connect()
    OF_THIS_RUN.set(ahead)
    with ended_with(remember_servers(root)), temporary_settings(settings):
        state: State[Any] = pipeline(root, return_state=True)
        if ahead is not None and ahead.last_task_run is not None:
            wait_until_recorded(ahead.last_task_run)
    if not state.is_completed():
        raise StageFailedError(state.message)
