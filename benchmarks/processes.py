"""Time and peak memory of a whole process. Imports nothing heavy: see `run`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Used:
    """What a process took, those that it started and waited for included.

    Attributes:
        seconds: By the clock.
        processor_seconds: Of all its threads.
        gib: Largest resident memory of one process.
    """

    seconds: float
    processor_seconds: float
    gib: float

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {self.processor_seconds:.1f} s, {self.gib:.2f} GiB"


def run(command: Sequence[str], folder: Path | None = None) -> tuple[Used, str, str]:
    """Runs a command with this checkout's code; what it wrote to stdout and stderr comes with it.

    A child's peak memory begins at that of its parent: what writes large tables beforehand belongs
    into a process of its own.

    Args:
        command: Program and arguments.
        folder: Where it runs; None for here.

    Raises:
        SystemExit: It failed; with all that it wrote.
    """
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            list(command), cwd=folder, env=environment, stdout=out, stderr=errors
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for stream in (out, errors):
            stream.seek(0)
            texts.append(stream.read())
    if process.returncode:
        sys.exit("".join(texts))
    return Used(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20), texts[0], texts[1]
