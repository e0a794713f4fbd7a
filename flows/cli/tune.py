"""Chooses eta, k1 and k2 on the train split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.project import PARAMS_FILE, Params
from flows.process.privacy import load_project

app = typer.Typer()


@app.command()
def main(
    params: Params = PARAMS_FILE,
    trials: Annotated[int, typer.Option(help="Overrides tune.trials; 0 keeps it.")] = 0,
) -> None:
    """Tunes by cross-validated mAP; never looks at query or gallery."""
    from flows.cli.console import progress, setup_logging, show, show_table

    setup_logging()
    from tasks.reporting.studies import write_studies_part
    from tasks.studies.tune import tune
    from tasks.tables.schema import Layout
    from tasks.tables.store import read_table

    parameters = load_project(params)
    if trials:
        search = parameters.tune.model_copy(update={"trials": trials})
        parameters = parameters.model_copy(update={"tune": search})
    with progress("tune", parameters.tune.trials, "trials") as advance:
        best = tune(parameters, Path(), lambda: advance(1))
    layout = Layout()
    study = read_table(layout.tuning / "study.parquet")
    write_studies_part(layout)
    now = study.to_pylist()[0]  # the first trial is what is set today
    names = ("eta", "k1", "k2", "rerank_k1", "rerank_k2", "rerank_lambda", "mAP")
    show_table(
        ("", *names),
        [("set now", *(now[n] for n in names)), ("best", *(best[n] for n in names))],
    )
    show(f"study:   {layout.tuning / 'study.parquet'}")
    show(f"page:    {layout.reports / 'pages' / 'studies.html'}")
    show(f"to use it: cp {layout.tuning / 'params.yaml'} params.yaml && dvc repro")
