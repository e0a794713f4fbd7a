"""Processes that live and die with the one that started them."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # from Linux' prctl.h


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
