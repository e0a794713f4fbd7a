"""Chooses a chain, eta and k on the train split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from flows.cli.project import PARAMS_FILE, Params
from flows.process.privacy import load_project

if TYPE_CHECKING:
    from tasks.studies.tune import Choice

app = typer.Typer()


@app.command()
def main(
    params: Params = PARAMS_FILE,
) -> None:
    """Chooses the mildest chain that holds up; never looks at query or gallery."""
    from flows.cli.console import progress, setup_logging, show, show_note

    setup_logging()
    from pose2id.extras import require
    from tasks.reporting.studies import write_studies_part
    from tasks.studies.tune import tune
    from tasks.tables.schema import Layout

    require("figures", "matplotlib", purpose="The plot of the tuning")
    parameters = load_project(params)
    layout = Layout()
    with progress("tune", 0, "settings") as advance:
        choice = tune(parameters, Path(), params, lambda: advance(1))
    write_studies_part(layout)
    _show_evidence(choice)
    for note in choice.notes:
        show_note(note)
    if choice.chosen.chain:
        show(f"chosen: variant {choice.variant}, [{', '.join(choice.chosen.chain)}]")
    else:
        show("chosen: base, as no step's gain is beyond luck here")
    written = layout.tuning / "params.yaml"
    show(f"study:  {layout.tuning / 'study.parquet'} (view `tuning`)")
    show(f"page:   {layout.reports / 'pages' / 'studies.html'}")
    show(f"to try: cp {written} {PARAMS_FILE} && dvc repro")
    show(f"        then look at {choice.variant} beside base in the scores of query and gallery")


def _show_evidence(choice: Choice) -> None:
    from flows.cli.console import show_table
    from tasks.choosing.rules import Candidate

    rows = []
    for name, setting in (
        ("base", Candidate()),
        ("chosen", choice.chosen),
        ("highest", choice.best),
    ):
        gain = choice.gain(setting)
        rows.append(
            (
                *(name, ", ".join(setting.chain), setting.eta or None, setting.k or None),
                *(choice.judged.evidence.mean(setting), gain.delta, gain.low, gain.high),
            )
        )
    show_table(("", "steps", "eta", "k", "mAP", "gain", "low", "high"), rows)
