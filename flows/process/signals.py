"""How a stage ends early: at a signal within a second, and never later than who started it.

All files are written whole or not at all and finished rows are kept outside of the outs, so that
stopping at any moment is safe and nothing has to be tidied up on the way out.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from types import FrameType

PR_SET_PDEATHSIG = 1  # from Linux' prctl.h


def end_on_signals(purpose: str) -> None:
    """Makes SIGINT and SIGTERM end this process at once, saying how to resume.

    Args:
        purpose: What the process does, such as `generate query`.
    """

    def end(number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        message = (
            f"{purpose} was stopped by {name}; finished rows are kept. To go on, run the same "
            "command again: dvc repro. To have the last finished tables back instead: dvc checkout"
        )
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, f"\n{message}\n".encode())
        # Threads may be deep in a long computation: leaving does not wait for them.
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


def end_with_parent(number: int = signal.SIGTERM) -> None:
    """Has the kernel send this process a signal when its parent ends, even by kill -9.

    Linux only; elsewhere an orphan goes on, and the project's lock keeps others from writing.

    Args:
        number: The signal.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def start_worker() -> None:
    """Prepares a worker process of a stage: it lives and dies with the stage."""
    # Ctrl-C reaches the whole process group; the stage alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid != os.getppid():
        os._exit(1)  # the stage ended before the kernel knew
