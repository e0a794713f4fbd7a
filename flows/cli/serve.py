"""Serves the nightly run: a Prefect server and a worker, on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def main(
    port: Annotated[int, typer.Option(help="Port of the server, on loopback only.")] = 4200,
) -> None:
    """Serves the nightly deployment from the project's folder until stopped.

    For someone who has no Prefect yet. Everything listens on loopback, and Prefect's own files
    stay in the project's `.cache/prefect`.
    """
    from flows.cli.console import setup_logging
    from flows.orchestration.serve import serve
    from pose2id.extras import require

    require("pipeline", "prefect", purpose="The nightly run")
    setup_logging()
    serve(Path().resolve(), port)
