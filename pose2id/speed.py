"""Settings of a whole process that buy speed, and what each of them was measured to buy.

Each changes when work is done or waited for, never what is computed; `onednn_operand` alone chooses
between two libraries whose products differ in the last digits.
"""

from __future__ import annotations

import atexit
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

# Idle threads of torch sleep instead of spinning: on busy cores a small network took 73 to 79 ms
# instead of 159 to 445 ms (docs/measured.md).
THREADS_THAT_SLEEP = {"OMP_WAIT_POLICY": "PASSIVE"}
_KEPT_BYTES = 2**25 - 2**16  # a little below glibc's limit of 32 MiB
_succeeded = False


def keep_freed_memory() -> None:
    """Has glibc keep the memory of one block of distances for the next.

    It raises the size up to which it does so to that of the largest piece that was freed, at most
    32 MiB. Otherwise the kernel gets each block's memory back and clears it again for the next.
    Measured: 256 queries against 15,913 x 768 in 0.059 s instead of 0.082 s (AVX-512 Xeon, one
    thread, `onednn_operand`); a feature network of many layers in 6.9 ms a picture instead of 8.9
    (AMD EPYC, one thread, docs/measured.md).
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
