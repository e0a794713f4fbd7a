"""Trains the generator: `python -m flows.train vae|decoder|identity|ipg --config RECIPE`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)

Config = Annotated[Path, typer.Option("--config", help="The training recipe (YAML).")]
StopAfter = Annotated[
    int | None, typer.Option(help="Stop once this many steps are done; run again to go on.")
]


@app.callback()
def _setup() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")


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

    train_vae(read_recipe_file(config), stop_after)


@app.command()
def decoder(config: Config, stop_after: StopAfter = None) -> None:
    """Train the decoder on, for the pictures that the generator draws."""
    from tasks.studies.training import read_recipe_file, train_decoder

    train_decoder(read_recipe_file(config), stop_after)


@app.command()
def identity(config: Config, stop_after: StopAfter = None) -> None:
    """Train the identity network."""
    from tasks.studies.training import read_recipe_file, train_identity

    train_identity(read_recipe_file(config), stop_after)


@app.command()
def ipg(config: Config, stop_after: StopAfter = None) -> None:
    """Train UNets, refiner and pose guider, and write the finished model."""
    from tasks.studies.training import read_recipe_file, train_ipg

    train_ipg(read_recipe_file(config), stop_after)


if __name__ == "__main__":
    app()
