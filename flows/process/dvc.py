"""DVC as a process of its own, as a person at the terminal would start it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from flows.process.failure import WorkFailedError
from pose2id.workers import end_with_parent


class ReproduceError(WorkFailedError):
    """`dvc repro` did not bring the tables up to date."""

    def __init__(self, code: int) -> None:
        """Says what to do.

        Args:
            code: The exit code of DVC.
        """
        super().__init__(
            f"dvc repro ended with exit code {code}; the reason is said above, by the stage or by "
            "DVC. Once it is mended, run the same command again: finished rows are kept. To have "
            "the tables of the last finished run back: dvc checkout"
        )
        self.code = code


def reproduce(*options: str) -> None:
    """Runs `dvc repro` in the current folder.

    Args:
        options: Of `dvc repro`.

    Raises:
        ReproduceError: A stage failed, or DVC could not start.
        SystemExit: With 128 + n, if signal n ended it.
    """
    command = [sys.executable, "-m", "dvc", "repro", *options]
    dvc = subprocess.Popen(command, preexec_fn=end_with_parent)
    with _answered_by(dvc) as received:
        code = dvc.wait()
    if received:
        sys.exit(128 + received[0])
    if code:
        raise ReproduceError(code)


@contextmanager
def _answered_by(child: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Within it, signals are answered by the child, or by the stage it runs; yields their numbers.

    Ctrl-C reaches the whole group by itself, SIGTERM only this process.
    """
    received: list[int] = []

    def answer(number: int, frame: object) -> None:
        received.append(number)
        if number == signal.SIGTERM:
            child.terminate()

    before = {number: signal.signal(number, answer) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
