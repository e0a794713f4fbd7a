"""Settings of a whole process that buy speed, and what each of them was measured to buy.

Each changes when work is done or waited for, never what is computed; `onednn_operand` alone chooses
between two libraries whose products differ in the last digits.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Idle threads of torch sleep instead of spinning: on busy cores a small network took 73 to 79 ms
# instead of 159 to 445 ms (docs/measured.md).
THREADS_THAT_SLEEP = {"OMP_WAIT_POLICY": "PASSIVE"}
# Objects; Python's own 700 makes importing torch and diffusers a third slower.
GC_THRESHOLD = 50_000
_KEPT_BYTES = 2**25 - 2**16  # a little below glibc's limit of 32 MiB
_succeeded = False


def keep_freed_memory() -> None:
    """Has glibc keep the memory of one block of distances for the next.

    It raises the size up to which it does so to that of the largest piece that was freed, at most
    32 MiB. Otherwise the kernel gets each block's memory back and clears it again for the next.
    Measured: 256 queries against 15,913 x 768 in 0.059 s instead of 0.082 s (AVX-512 Xeon, one
    thread, `onednn_operand`).
    """
    import torch

    torch.empty(_KEPT_BYTES, dtype=torch.uint8)


def onednn_operand(tensor: Tensor) -> Tensor:
    """Hands a product to oneDNN.

    Measured: about twice as fast as MKL on AMD processors, which MKL does not favour; 0.059 s
    against 0.060 s on an AVX-512 Xeon, the product above.
    """
    import torch

    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return tensor.to_mkldnn() if available else tensor


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
