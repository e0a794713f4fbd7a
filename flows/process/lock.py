"""One writer per project: an operating system lock that dies with its holder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

from pose2id.errors import Pose2IdError

ENDING_S = 10.0  # how long a holder whose parent was killed may take to notice
POLL_S = 0.2


class PipelineBusyError(Pose2IdError):
    """Another process is writing this project's tables."""


@contextlib.contextmanager
def pipeline_lock(
    root: Path,
    purpose: str,
    *,
    scope: Literal["stage", "run"] = "stage",
    patience_s: float = ENDING_S,
) -> Iterator[None]:
    """Holds the project's lock.

    The kernel frees the lock when the process ends, however it ends, so a lock file left behind
    by a killed run never blocks the next one.

    Args:
        root: The project's root folder.
        purpose: What the holder does, shown to whoever is refused.
        scope: `stage` while tables are written, `run` while a flow goes from stage to stage.
        patience_s: How long to wait for a holder that may be about to end.

    Raises:
        PipelineBusyError: Another live process holds the lock; the message names it.
    """
    path = root / ".cache" / ("pipeline.lock" if scope == "stage" else "run.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _acquire(file, path, patience_s)
        file.seek(0)
        file.truncate()
        json.dump({"pid": os.getpid(), "purpose": purpose}, file)
        file.flush()
        yield


def _acquire(file: IO[str], path: Path, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise PipelineBusyError(_describe(path)) from None
            time.sleep(POLL_S)
        else:
            return


def _describe(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        who = f"process {holder['pid']} ({holder['purpose']})"
    except (ValueError, KeyError, TypeError):
        who = "another process"
    return (
        f"{who} is writing this project's tables and two writers are not allowed; wait until it "
        "ends, or stop it, then run the same command again"
    )
