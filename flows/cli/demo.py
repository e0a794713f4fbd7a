"""`make demo`: the whole job on the built-in dataset, then the results and where everything is."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from flows.cli.console import friendly_errors, setup_logging, show, show_note
from flows.cli.results import print_results
from flows.process.lock import pipeline_lock
from flows.process.repair import mend_dvc_state
from flows.process.signals import end_with_parent

ENDED_EARLY = (
    "What ended the run is said above, by the stage or by DVC. Once it is mended, run the same "
    "command again: finished rows are kept. To have the tables of the last finished run back: "
    "dvc checkout"
)


def main() -> None:
    """Brings every stage up to date with `dvc repro` and shows the results table."""
    from tasks.tables.history import append_run

    setup_logging()
    started, clock = datetime.now(UTC), time.monotonic()
    root = Path()
    with friendly_errors(), pipeline_lock(root, "make demo", scope="run"):
        mend_dvc_state(root)
        code = reproduce()
        duration_s = time.monotonic() - clock
        append_run(
            root,
            started=started,
            duration_s=duration_s,
            trigger="demo",
            outcome=f"failed with exit code {code}" if code else "completed",
            stage_seconds={},
        )
        if code:
            show_note(ENDED_EARLY)
            sys.exit(code)
        print_results(root)
        show(f"everything is up to date after {duration_s:.0f} s")


def reproduce() -> int:
    """Runs `dvc repro` and returns its exit code; signals are answered by the stage it runs."""
    dvc = subprocess.Popen([sys.executable, "-m", "dvc", "repro"], preexec_fn=end_with_parent)
    # Ctrl-C reaches the whole group by itself, SIGTERM only this process.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: dvc.terminate())
    return dvc.wait()


if __name__ == "__main__":
    main()
