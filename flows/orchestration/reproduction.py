"""DVC's pass over all stages, in a process of its own that tells the flow of each.

DVC, Prefect and Prefect's server each take a second or more to start. So a run from the command
line begins with the pass, and the flow shows what has come of it as soon as it can: the first
stages may be over by then.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from flows.orchestration.events import PARENT_TASK_RUN, forget_events
from flows.orchestration.temporary_server import wait_until_answers
from flows.process.environment import environment
from flows.process.failure import WorkFailedError
from flows.process.lock import ENDING_S, pipeline_lock
from pose2id.errors import Pose2IdError
from pose2id.workers import end_with_parent

if TYPE_CHECKING:
    from dvc.stage import Stage

STOPPED = (
    "the run was stopped by SIGINT; finished stages and rows are kept. To go on, run the same "
    "command again"
)


class PassEndedError(WorkFailedError):
    """DVC's pass ended early, and not by a stage."""


@dataclass(frozen=True, slots=True)
class BegunStage:
    """A stage that DVC looks at now, and runs if something has changed.

    Attributes:
        address: DVC's name of it, such as `generate@query`.
        task_run_id: Of the task run that is to show it; the stage knows it as well.
    """

    address: str
    task_run_id: UUID


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a stage: nothing to do (no seconds), or how long it ran and why it failed."""

    seconds: float | None = None
    failure: str | None = None


class Reproduction:
    """DVC's pass over a project's stages. Within it, the project's lock of scope `run` is held.

    Ctrl-C reaches the pass by itself; this process then hears of it as of any failure.

    Attributes:
        started: When it began.
        clock: The same, as `time.monotonic` has it.
    """

    def __init__(self, root: Path, starting: str = "", patience_s: float = ENDING_S) -> None:
        """Begins. What stages report to a Prefect server goes to `PREFECT_API_URL`.

        Args:
            root: The project's root folder.
            starting: Address of the server, where it may not answer yet.
            patience_s: How long to wait for another run that may be about to end.

        Raises:
            PipelineBusyError: Another run is under way.
        """
        self.started, self.clock = datetime.now(UTC), time.monotonic()
        self._interrupted = False
        with ExitStack() as held:
            held.enter_context(
                pipeline_lock(root, "pipeline flow", scope="run", patience_s=patience_s)
            )
            reading, writing = os.pipe()
            self._news = held.enter_context(os.fdopen(reading, encoding="utf-8"))
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(root), str(writing), starting],
                pass_fds=(writing,),
                preexec_fn=end_with_parent,
            )
            os.close(writing)
            held.callback(self._end)
            if threading.current_thread() is threading.main_thread():
                before = signal.signal(signal.SIGINT, self._note_interruption)
                held.callback(signal.signal, signal.SIGINT, before)
            self._held = held.pop_all()

    def __enter__(self) -> Reproduction:
        """It has begun already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it, if it has not ended, and frees the lock."""
        self._held.close()

    def is_over(self) -> bool:
        """Whether DVC's process has ended; what it told last may not have been read."""
        return self._process.poll() is not None

    def stages(self) -> Iterator[BegunStage]:
        """Every stage in DVC's order; call `outcome` once for each before the next.

        Raises:
            PassEndedError: The pass ended early, and not by a stage.
        """
        while news := self._next():
            yield BegunStage(news["address"], UUID(news["task_run_id"]))

    def outcome(self) -> Outcome:
        """Waits for the stage that has begun last.

        Raises:
            PassEndedError: The pass ended before the stage.
        """
        news = self._next()
        if news is None:
            raise PassEndedError(self._how_it_ended())
        outcome = Outcome(**news)
        if outcome.failure is None:
            return outcome
        self._process.wait()  # it runs no further stage, and leaves DVC's own files as they must be
        return replace(outcome, failure=STOPPED) if self._interrupted else outcome

    def _next(self) -> dict[str, Any] | None:
        """What the process tells next; `None` once it has ended as it should."""
        if line := self._news.readline():
            news: dict[str, Any] = json.loads(line)
            if "error" in news:
                raise PassEndedError(news["error"])
            return news
        if self._process.wait():
            raise PassEndedError(self._how_it_ended())
        return None

    def _note_interruption(self, *_: object) -> None:
        self._interrupted = True

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        if self._interrupted:
            return STOPPED
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return (
            f"DVC's process {how}; finished stages and rows are kept. To go on, run the same "
            "command again"
        )

    def _end(self) -> None:
        self._process.terminate()  # nothing, where it has ended
        self._process.wait()


def reproduce_all(root: Path, tell: Callable[[dict[str, Any]], None]) -> None:
    """Does what `dvc repro` does, and tells of each stage.

    Args:
        root: The project's root folder.
        tell: Is given the facts of a `BegunStage`, then those of its `Outcome`; or `error`, after
            which nothing follows.
    """
    from dvc.exceptions import DvcException, ReproductionError
    from dvc.repo import Repo
    from dvc.repo.reproduce import _reproduce_stage

    def told(stage: Stage, **options: Any) -> Stage | None:  # noqa: ANN401 - DVC's own
        began, task_run_id = time.monotonic(), str(uuid4())
        tell({"address": stage.addressing, "task_run_id": task_run_id})
        try:
            with environment({PARENT_TASK_RUN: task_run_id}):
                ran: Stage | None = _reproduce_stage(stage, **options)
        except DvcException as error:
            failure = str(error.__cause__ or error)
            tell(asdict(Outcome(time.monotonic() - began, failure)))
            raise
        tell(asdict(Outcome(time.monotonic() - began if ran else None)))
        return ran

    try:
        with Repo(str(root)) as repo:
            repo.reproduce(repro_fn=told)
    except ReproductionError:
        pass  # told as the stage's outcome
    except DvcException as error:
        tell({"error": str(error)})


def main() -> None:
    """Of the process: `python -m flows.orchestration.reproduction ROOT PIPE STARTING`."""
    root, pipe, starting = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    # What DVC leaves is much to look through for garbage each time it reads dvc.lock.
    gc.set_threshold(200_000, 50, 100)
    with suppress(BrokenPipeError), os.fdopen(pipe, "w", encoding="utf-8") as news:

        def tell(facts: dict[str, Any]) -> None:
            news.write(json.dumps(facts) + "\n")
            news.flush()

        try:
            _prepare(root, starting)
            reproduce_all(root, tell)
        except KeyboardInterrupt:
            sys.exit(128 + signal.SIGINT)
    gc.freeze()  # the process ends: looking through all that is left takes half a second


def _prepare(root: Path, starting: str) -> None:
    from flows.process.repair import mend_dvc_state
    from tasks.tables.params import load_params

    mend_dvc_state(root)
    forget_events(root)
    on_cluster = False
    with suppress(Pose2IdError):  # the stages say so
        on_cluster = load_params(root / "params.yaml").runtime.on_cluster
    if starting and on_cluster:  # its shards report to the server from the start
        wait_until_answers(starting)


if __name__ == "__main__":
    main()
