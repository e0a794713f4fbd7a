"""Shards of a stage on the page of its flow run, shown while the stage's own process does them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, cast
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State, TaskRun
from prefect.exceptions import ObjectNotFound
from prefect.flow_engine import run_flow
from prefect.flows import Flow
from prefect.futures import PrefectFuture, wait
from prefect.states import Pending
from prefect.tasks import Task

from flows.orchestration.events import POLL_S, Event, follow
from pose2id.errors import Pose2IdError

KNOWN_WITHIN_S = 30.0

_WORKER_ENDED: Event = {"kind": "again", "text": "its worker process ended"}
_STAGE_ENDED: Event = {"kind": "failed", "text": "the process of this stage ended"}


class ShardFailedError(Pose2IdError):
    """A shard failed and is not tried again."""


class ShardTriedAgainError(Pose2IdError):
    """A shard failed and is tried again."""


class ShownShards:
    """Within it, a stage's shards appear, by its events, as task runs of a flow run of its own.

    Attributes:
        reason: The error that the stage ended with, if it recorded one.
    """

    def __init__(self, events: Path, stage: str, parent: UUID) -> None:
        """Prepares to read.

        Args:
            events: The file to which the stage records its events; deleted at the end.
            stage: The stage's name and split.
            parent: The stage's own task run.
        """
        self.reason: str | None = None
        self._path, self._stage, self._parent = events, stage, parent
        self._log = get_run_logger()  # of the task run in which this is called
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(1)
        self._shown: Future[None]

    def __enter__(self) -> ShownShards:
        """Begins to read."""
        self._shown = self._pool.submit(self._show)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Waits until all is shown."""
        self._ended.set()
        self._pool.shutdown()
        self._path.unlink(missing_ok=True)
        if error is None:
            self._shown.result()

    def wait_for_reason(self) -> str | None:
        """The recorded error of a stage that has ended; `None` if it could not record any."""
        self._ended.set()
        self._shown.result()
        return self.reason

    def _show(self) -> None:
        events = self._events()
        for event in events:
            if event["kind"] == "shards":
                shown = _stage_flow(self._stage, event["n_shards"], event["retries"], events)
                with suppress(ShardFailedError):  # the page shows it, as does the stage's end
                    run_below(shown, self._stage, self._parent)

    def _events(self) -> Iterator[Event]:
        for event in follow(self._path, self._ended):
            if event["kind"] == "error":
                self.reason = event["text"]
            elif event["kind"] == "note":
                self._log.info(event["text"])
            else:
                yield event


def run_below(stage_flow: Flow[[], None], name: str, parent: UUID) -> None:
    """Runs a flow as a part of a task run.

    Args:
        stage_flow: The flow.
        name: Name of the flow run.
        parent: The task run.
    """
    with get_client(sync_client=True) as client:
        _wait_until_known(client, parent)
        run = client.create_flow_run(
            stage_flow, name=name, parent_task_run_id=parent, state=Pending()
        )
    run_flow(stage_flow, flow_run=run)


def _wait_until_known(client: SyncPrefectClient, task_run_id: UUID) -> None:
    """A server learns of task runs by events, a little after they have started."""
    deadline = time.monotonic() + KNOWN_WITHIN_S
    while True:
        try:
            client.read_task_run(task_run_id)
        except ObjectNotFound:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
        else:
            return


def _stage_flow(stage: str, n_shards: int, retries: int, events: Iterator[Event]) -> Flow[[], None]:
    """A flow whose task runs start, fail, try again and end as the events say."""
    show_shard = task(
        name=stage.split()[0],
        retries=retries,
        retry_condition_fn=_is_tried_again,
        cache_policy=NO_CACHE,
        persist_result=False,
    )(_shard)

    @flow(name=f"stage {stage.split()[0]}", persist_result=False, validate_parameters=False)
    def show_stage() -> None:
        """Starts a task run per shard and hands it what happens to the shard."""
        news: dict[str, SimpleQueue[Event]] = {}
        futures: list[PrefectFuture[None]] = []
        n_done = 0
        progress = cast(UUID, create_progress_artifact(0.0, description=stage))
        for event in events:
            label = event["label"]
            if event["kind"] != "started":
                if label in news:  # else the line that said so was damaged
                    news[label].put(event)
            elif label in news:
                news[label].put(_WORKER_ENDED)
            else:
                news[label] = SimpleQueue()
                futures.append(show_shard.with_options(task_run_name=label).submit(news[label]))
            if event["kind"] == "done":
                n_done += 1
                update_progress_artifact(progress, 100 * n_done / n_shards)
        for queue in news.values():
            queue.put(_STAGE_ENDED)  # read only by those that have not ended
        wait(futures)
        if n_done < n_shards:
            raise ShardFailedError(f"{n_done} of {n_shards} shards were finished")

    return show_stage


def _shard(news: SimpleQueue[Event]) -> None:
    """Waits for the end of one try."""
    event = news.get()
    if event["kind"] == "again":
        raise ShardTriedAgainError(event["text"])
    if event["kind"] == "failed":
        raise ShardFailedError(event["text"])
    get_run_logger().info(event["text"])


def _is_tried_again(shown: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    return isinstance(state.result(raise_on_failure=False), ShardTriedAgainError)
