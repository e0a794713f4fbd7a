"""Does the whole job on the built-in dataset and prints the results."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import typer

app = typer.Typer()


@app.command()
def main() -> None:
    """Brings every stage up to date with `dvc repro` and shows the results table.

    The dataset is the one that params.yaml names; as it comes, rendered people.
    """
    from flows.cli.console import setup_logging, show
    from flows.cli.results import print_results
    from flows.process.dvc import ReproduceError, reproduce
    from flows.process.environment import leave_pandas_out
    from flows.process.lock import pipeline_lock
    from flows.process.repair import mend_dvc_state
    from tasks.tables.history import append_run

    setup_logging()
    leave_pandas_out()
    started, clock = datetime.now(UTC), time.monotonic()
    root = Path()
    outcome = "interrupted"
    with pipeline_lock(root, "make demo", scope="run"):
        mend_dvc_state(root)
        try:
            reproduce()
            outcome = "completed"
        except ReproduceError as error:
            outcome = f"failed with exit code {error.code}"
            raise
        finally:
            duration_s = time.monotonic() - clock
            append_run(
                root,
                started=started,
                duration_s=duration_s,
                trigger="demo",
                outcome=outcome,
                stage_seconds={},
            )
        print_results(root)
        show(f"everything is up to date after {duration_s:.0f} s")
