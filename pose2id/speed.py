"""Settings of a whole process that buy speed, and what each of them was measured to buy.

Each changes when work is done or waited for, never what is computed; `onednn_operand` alone chooses
between two libraries whose products differ in the last digits.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Idle threads of torch sleep instead of spinning: on busy cores a small network took 73 to 79 ms
# instead of 159 to 445 ms (docs/measured.md).
THREADS_THAT_SLEEP = {"OMP_WAIT_POLICY": "PASSIVE"}
_KEPT_BYTES = 2**25  # glibc's limit
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h
_succeeded = False


def keep_freed_memory() -> None:
    """Has glibc keep freed pieces of up to 32 MiB for the next that need as much.

    Otherwise the kernel gets the memory of each layer, or each block of distances, back and clears
    it again for the next. Said outright, since glibc learns it by itself only where no variable
    tells it otherwise, and Dask sets one for its workers: they drew 80 pictures a second, threads
    159. Measured: 256 queries against 15,913 x 768 in 0.059 s instead of 0.082 s (AVX-512 Xeon, one
    thread, `onednn_operand`); a feature network of many layers in 6.9 ms a picture instead of 8.9
    (AMD EPYC, one thread, docs/measured.md). Does nothing where there is no glibc.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _KEPT_BYTES)


def onednn_operand(tensor: Tensor) -> Tensor:
    """Hands a product to oneDNN.

    Measured: about twice as fast as MKL on AMD processors, which MKL does not favour; 0.059 s
    against 0.060 s on an AVX-512 Xeon, the product above.
    """
    import torch

    available = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return tensor.to_mkldnn() if available else tensor


def end_quickly() -> None:
    """Lets the process leave once its exit handlers have run, if `note_success` was called.

    The operating system frees at once what Python takes apart piece by piece. Measured: 7.0 s
    instead of 8.3 s of processor time for a process that imports torch, diffusers and pyarrow,
    6.7 s instead of 7.8 s with Great Expectations (a busy AVX-512 Xeon). Call it before other exit
    handlers are registered: the first one registered runs last.
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
