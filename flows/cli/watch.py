"""Runs the pipeline when images have arrived, and only then."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
log = logging.getLogger("flows")


@app.command()
def main(
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=1)] = 600.0,
    once: Annotated[bool, typer.Option(help="Look once, then end.")] = False,
) -> None:
    """Looks at the dataset's folder time and again; a failed run is tried again next time."""
    from flows.cli.console import setup_logging
    from flows.orchestration.watch import remember, signature, unchanged

    setup_logging()
    root = Path()
    while True:
        found = signature(root)
        if unchanged(root, found):
            log.info("no image has arrived, changed or gone")
        else:
            log.info("the images are not those of the last completed run: running the pipeline")
            run = subprocess.run([sys.executable, "-m", "pose2id", "run"], check=False)
            if run.returncode == 0:
                remember(root, found)
            elif once:
                sys.exit(run.returncode)
        if once:
            return
        time.sleep(every)
