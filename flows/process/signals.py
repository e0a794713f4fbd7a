"""How a stage ends early: at a signal within a second, and never later than who started it.

All files are written whole or not at all and finished rows are kept outside of the outs, so that
stopping at any moment is safe and nothing has to be tidied up on the way out.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


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
