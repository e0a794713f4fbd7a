"""Adapts the generator to the people of a train split: `pose2id adapt`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    split: Annotated[str, typer.Option(help="The split to learn from; index it first.")] = "train",
    minutes: Annotated[
        float | None, typer.Option(help="Time for all steps of training; default: the recipe's.")
    ] = None,
    config: Annotated[Path, typer.Option(help="The recipe (YAML).")] = Path(
        "models/ipg-small/adapt.yaml"
    ),
    params: Annotated[Path, typer.Option(help="The parameters.")] = Path("params.yaml"),
) -> None:
    """Trains identity network and generator on a train split, from the shipped model on."""
    from flows.cli.console import friendly_errors, setup_logging, show

    setup_logging()
    with friendly_errors():
        from tasks.studies.adapt import adapt, read_adapt_file
        from tasks.tables.params import load_params

        wish = read_adapt_file(config)
        if minutes is not None:
            wish = wish.model_copy(update={"minutes": minutes})
        folder = adapt(load_params(params), wish, Path(), split)
        show(f"model: {folder}")
        show(f"card:  {folder / 'README.md'}")
        show(f"use it: set generate.model to {folder} in params.yaml")


if __name__ == "__main__":
    app()
