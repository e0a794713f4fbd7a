"""Settings of a whole process that buy speed, and what each of them was measured to buy.

Each changes when work is done or waited for, never what is computed.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys

# Idle threads of torch sleep instead of spinning: small networks on busy cores ran 2 to 5 times as
# fast (docs/measured.md).
THREADS_THAT_SLEEP = {"OMP_WAIT_POLICY": "PASSIVE"}
# Objects; Python's own 700 makes importing torch and diffusers a third slower.
GC_THRESHOLD = 50_000
_succeeded = False


def start_quickly() -> None:
    """Lets the garbage collector run less often, which imports spend much of their time in."""
    gc.set_threshold(GC_THRESHOLD)


def end_quickly() -> None:
    """Lets the process leave once its exit handlers have run, if `note_success` was called.

    Taking torch, diffusers and Great Expectations apart takes up to a second per process, and the
    operating system frees the same memory at once. Call it before other exit handlers are
    registered: the first one registered runs last.
    """
    atexit.register(_leave)


def note_success() -> None:
    """Says that all is written and the exit code is 0; after a failure Python ends as usual."""
    global _succeeded
    _succeeded = True


def _leave() -> None:
    if _succeeded:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
