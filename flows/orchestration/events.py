"""Events of a stage for the flow that started it: lines of a file, without any Prefect.

Importing Prefect takes a process more than a second, so stages only write down what happens and
the flow, which has Prefect at hand, shows it (`flows.orchestration.shard_runs`).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

PARENT_TASK_RUN = "POSE2ID_PARENT_TASK_RUN_ID"  # set by the pipeline flow for its stages
POLL_S = 0.2

Event = dict[str, Any]
# Kind -> what an event of it says.
FACTS = {
    "note": ("text",),
    "shards": ("n_shards", "retries"),
    "started": ("label",),
    "again": ("label", "text"),
    "done": ("label", "text"),
    "failed": ("label", "text"),
    "error": ("text",),
}

log = logging.getLogger("flows")


def events_file(root: Path) -> Path | None:
    """Where this process's stage records its events; `None` without a flow."""
    parent = os.environ.get(PARENT_TASK_RUN)
    return events_of(root, parent) if parent else None


def events_of(root: Path, task_run_id: UUID | str) -> Path:
    """Where the stage that a task run shows records its events."""
    return root / ".cache" / f"events-{task_run_id}.jsonl"


def record_event(root: Path, kind: str, **facts: str | int) -> None:
    """Appends one event to the file that the flow reads; does nothing without a flow.

    Args:
        root: The project's root folder.
        kind: `note` (text) on the stage; `shards` (with n_shards and retries), then for each shard
            `started` (label) and `again`, `done` or `failed` (label and text); `error` (text) of
            the stage.
        facts: What belongs to the kind.
    """
    path = events_file(root)
    if path is None:
        return
    line = json.dumps({"kind": kind, **facts}) + "\n"
    # A full disk: the stage's own error says so. One write, so that lines of workers do not mix.
    with contextlib.suppress(OSError):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)


def forget_events(root: Path) -> None:
    """Deletes the events of stages whose flow was killed.

    Args:
        root: The project's root folder, in which no flow runs.
    """
    for path in (root / ".cache").glob("events-*.jsonl"):
        path.unlink(missing_ok=True)


def _event(line: bytes) -> Event | None:
    """The event of a line; `None` for a damaged one, which only the page will lack."""
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    kind = event.get("kind") if isinstance(event, dict) else None
    if isinstance(kind, str) and kind in FACTS and all(name in event for name in FACTS[kind]):
        return dict(event)
    log.warning("a line of the events of a stage is damaged and left out: %.80r", line)
    return None


def follow(path: Path, ended: threading.Event) -> Iterator[Event]:
    """Events in the order in which they are recorded, until `ended` is set and all are read.

    Args:
        path: The file, which need not exist yet.
        ended: Set once nobody writes any more.

    Yields:
        The facts of one event, with its `kind`.
    """
    position, rest = 0, b""
    while True:
        last = ended.wait(POLL_S)
        if path.is_file():
            with path.open("rb") as file:
                file.seek(position)
                *lines, rest = (rest + file.read()).split(b"\n")
                position = file.tell()
            yield from filter(None, map(_event, lines))
        if last:
            return
