"""Puts DVC's own files in order after a kill."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer()


@app.command()
def main() -> None:
    """Puts DVC's files in order; `demo`, `run` and `watch` do so before they start."""
    from flows.cli.console import setup_logging, show
    from flows.process.lock import pipeline_lock
    from flows.process.repair import mend_dvc_state

    setup_logging()
    with pipeline_lock(Path(), "mend", scope="run"):
        mend_dvc_state(Path())
        show("DVC's lock files are in order")
