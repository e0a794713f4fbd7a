"""Runs what is out of date as a Prefect flow with a page of its own."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import typer

app = typer.Typer()


@app.command()
def main() -> None:
    """Runs every stage that is out of date as a Prefect flow, and records the run.

    It reports to the server of PREFECT_API_URL, or to a temporary one. `dvc repro` leaves the same
    tables without any server.
    """
    from flows.orchestration.temporary_server import start_unless_named
    from flows.process.environment import leave_pandas_out, make_prefect_home
    from pose2id.extras import require

    require("pipeline", "prefect", purpose="A flow")
    make_prefect_home()
    server = start_unless_named()
    if server is not None:
        os.environ["PREFECT_API_URL"] = server.address
    leave_pandas_out()
    # What Prefect and DVC leave is much to look through for garbage each time DVC reads dvc.lock.
    gc.set_threshold(200_000, 50, 100)
    root, ahead = Path(), None
    if server is not None:
        from flows.orchestration.ahead import run_ahead

        ahead = run_ahead(root)
    from flows.orchestration.pipeline import run_here

    try:
        run_here(root, server, ahead)
    finally:
        gc.freeze()  # the process ends: looking through all that is left takes half a second
