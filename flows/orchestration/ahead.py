"""What a run does while its temporary server starts and Prefect is imported, for three seconds.

Nobody can watch that server yet. So what is up to date is found out, and the small stages that
follow are run, before the flow; its page then shows them in their order. From the first stage on
that is neither, the flow has DVC reproduce the rest while it shows it.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flows.orchestration.events import PARENT_TASK_RUN, events_file, follow, forget_events
from flows.process.environment import environment
from flows.process.lock import PipelineBusyError, pipeline_lock
from flows.process.repair import end_orphan_server, mend_dvc_state
from flows.process.warm import SMALL_STAGES
from pose2id.errors import Pose2IdError

if TYPE_CHECKING:
    from dvc.stage import Stage


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a stage: nothing to do (no seconds), or how long it ran and why it failed."""

    seconds: float | None = None
    failure: str | None = None


@dataclass(slots=True)
class Ahead:
    """What a run has done before its flow, and which stage the flow has shown last.

    Attributes:
        outcomes: Of the first stages, by address, in DVC's order.
        complete: Whether they are all stages.
        last_task_run: The flow's last task run that showed a stage.
        started: When it began.
        clock: The same, as `time.monotonic` has it.
    """

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    complete: bool = False
    last_task_run: UUID | None = None
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.monotonic)


OF_THIS_RUN: ContextVar[Ahead | None] = ContextVar("ahead", default=None)


# The flow's own module, and what Prefect imports as late as in its first run.
OF_THE_FLOW = ("flows.orchestration.pipeline", "prefect.task_engine", "fastapi")


class _FlowsTurnError(Exception):
    """Ends DVC's pass at the first stage that the flow shows live."""


def run_ahead(root: Path) -> Ahead:
    """Brings stages up to date in DVC's order, up to the first large one that has something to do.

    While the first of them runs, what the flow needs is imported.

    Args:
        root: The project's root folder.
    """
    ahead = Ahead()
    end_orphan_server(root)
    with (
        suppress(PipelineBusyError),  # the flow says so
        pipeline_lock(root, "pipeline flow", scope="run", patience_s=0),
    ):
        mend_dvc_state(root)
        forget_events(root)
        _reproduce(root, ahead, threading.Thread(target=_import_flow))
    return ahead


def _import_flow() -> None:
    with suppress(Exception):  # what goes wrong here goes wrong again for who needs the module
        for module in OF_THE_FLOW:
            import_module(module)


def _reproduce(root: Path, ahead: Ahead, import_flow: threading.Thread) -> None:
    from dvc.exceptions import DvcException, ReproductionError
    from dvc.repo import Repo
    from dvc.repo.reproduce import _reproduce_stage

    small = _small_stages(root)

    def bring_up_to_date(stage: Stage, **options: Any) -> Stage | None:  # noqa: ANN401 - DVC's own
        address, began = stage.addressing, time.monotonic()
        if address not in small:
            if options.get("force") or stage.changed(upstream=options.get("upstream")):
                raise _FlowsTurnError
            ahead.outcomes[address] = Outcome()
            return None
        if import_flow.ident is None and stage.changed(upstream=options.get("upstream")):
            import_flow.start()  # DVC waits for the stage now, and leaves the interpreter to it
        try:
            ran: Stage | None = _reproduce_stage(stage, **options)
        except DvcException as error:
            reason = str(_recorded_error(root) or error.__cause__ or error)
            ahead.outcomes[address] = Outcome(time.monotonic() - began, reason)
            raise
        ahead.outcomes[address] = Outcome(time.monotonic() - began if ran else None)
        return ran

    with environment({PARENT_TASK_RUN: "ahead"}), suppress(ReproductionError):
        with Repo(str(root)) as repo:
            repo.reproduce(repro_fn=bring_up_to_date)
        ahead.complete = True


def _small_stages(root: Path) -> tuple[str, ...]:
    """None where their shards go to a cluster, which needs the server."""
    from tasks.tables.params import load_params

    with suppress(Pose2IdError):  # the stages say so
        if not load_params(root / "params.yaml").runtime.on_cluster:
            return SMALL_STAGES
    return ()


def _recorded_error(root: Path) -> str | None:
    """The error that the last stage ended with, if it recorded one."""
    path, ended = events_file(root), threading.Event()
    ended.set()
    errors = (
        [event["text"] for event in follow(path, ended) if event["kind"] == "error"] if path else []
    )
    return errors[-1] if errors else None
