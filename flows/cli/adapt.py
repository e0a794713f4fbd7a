"""Trains the generator on, for the people of your own train split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.project import PARAMS_FILE, Params, as_given

app = typer.Typer()

RECIPE = Path("models/ipg-small/adapt.yaml")


@app.command()
def main(
    params: Params = PARAMS_FILE,
    config: Annotated[
        Path, typer.Option("--config", help="The recipe (YAML).", callback=as_given)
    ] = RECIPE,
    split: Annotated[str, typer.Option(help="The split to learn from; index it first.")] = "train",
    minutes: Annotated[
        float, typer.Option(help="Time for the steps of training; 0 keeps the recipe's.")
    ] = 0.0,
) -> None:
    """Trains identity network and generator from the shipped model on; killed, it goes on."""
    from flows.cli.console import setup_logging, show
    from flows.cli.train import training_progress

    setup_logging()
    from tasks.studies.adapt import adapt, read_adapt_file
    from tasks.tables.params import load_params

    wish = read_adapt_file(config)
    if minutes:
        wish = wish.model_copy(update={"minutes": minutes})
    with training_progress():
        folder = adapt(load_params(params), wish, Path(), split)
    show(f"model: {folder}")
    show(f"card:  {folder / 'README.md'}")
    show(f"to use it: set generate.model to {folder} in {params}")
