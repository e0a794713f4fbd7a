"""Trains the generator, part by part, by a recipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.project import as_given

app = typer.Typer(no_args_is_help=True)

Config = Annotated[
    Path, typer.Option("--config", help="The training recipe (YAML).", callback=as_given)
]
StopAfter = Annotated[
    int | None, typer.Option(help="Stop once this many steps are done; run again to go on.")
]


@app.callback()
def _setup() -> None:
    from flows.cli.console import setup_logging

    setup_logging()


@contextmanager
def training_progress() -> Iterator[None]:
    """Within it, a training shows a bar of its steps; one after the other if there are several."""
    from flows.cli.console import Advance, progress
    from pose2id.training.loop import watched

    bars: dict[str, Advance] = {}
    with ExitStack() as shown:

        def on_step(job: str, n_done: int, n_steps: int) -> None:
            if job not in bars:
                shown.close()
                bars[job] = shown.enter_context(progress(job, n_steps - n_done + 1, "steps"))
            bars[job](1)

        with watched(on_step):
            yield


@app.command()
def pictures(config: Config) -> None:
    """Render or read all training pictures; the other commands do this too when needed."""
    from tasks.studies.training import read_recipe_file
    from tasks.studies.training_data import open_pool

    open_pool(read_recipe_file(config))


@app.command()
def vae(config: Config, stop_after: StopAfter = None) -> None:
    """Train the autoencoder."""
    from tasks.studies.training import read_recipe_file, train_vae

    with training_progress():
        train_vae(read_recipe_file(config), stop_after)


@app.command()
def decoder(config: Config, stop_after: StopAfter = None) -> None:
    """Train the decoder on, for the pictures that the generator draws."""
    from tasks.studies.training import read_recipe_file, train_decoder

    with training_progress():
        train_decoder(read_recipe_file(config), stop_after)


@app.command()
def identity(config: Config, stop_after: StopAfter = None) -> None:
    """Train the identity network."""
    from tasks.studies.training import read_recipe_file, train_identity

    with training_progress():
        train_identity(read_recipe_file(config), stop_after)


@app.command()
def ipg(config: Config, stop_after: StopAfter = None) -> None:
    """Train UNets, refiner and pose guider, and write the finished model."""
    from tasks.studies.training import read_recipe_file, train_ipg

    with training_progress():
        train_ipg(read_recipe_file(config), stop_after)
