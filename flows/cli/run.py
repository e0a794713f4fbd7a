"""Runs what is out of date as a Prefect flow with a page of its own."""

from __future__ import annotations

import gc
import os
from contextlib import nullcontext, suppress
from pathlib import Path

import typer

app = typer.Typer()


@app.command()
def main() -> None:
    """Runs every stage that is out of date as a Prefect flow, and records the run.

    It reports to the server of PREFECT_API_URL, or to a temporary one. `dvc repro` leaves the same
    tables without any server.
    """
    from flows.orchestration.reproduction import Reproduction
    from flows.orchestration.temporary_server import start_unless_named
    from flows.process.environment import leave_pandas_out, make_prefect_home
    from flows.process.lock import PipelineBusyError
    from pose2id.extras import require

    require("pipeline", "prefect", purpose="A flow")
    make_prefect_home()
    root, reproduction = Path(), None
    server = start_unless_named()
    if server is not None:
        os.environ["PREFECT_API_URL"] = server.address
        with suppress(PipelineBusyError):  # the flow says so
            reproduction = Reproduction(root, server.address, patience_s=0)
    # What takes longer to import comes once the two processes have begun.
    from flows.process.repair import end_orphan_server

    end_orphan_server(root)
    leave_pandas_out()
    # What Prefect leaves is much to look through for garbage.
    gc.set_threshold(200_000, 50, 100)
    if server is not None and reproduction is not None:
        # Two processes that import much are enough for two cores; a third would slow DVC's.
        server.wait(reproduction.is_over)
    from flows.orchestration.pipeline import run_here

    try:
        with reproduction or nullcontext():
            run_here(root, server, reproduction)
    finally:
        gc.freeze()  # the process ends: looking through all that is left takes half a second
