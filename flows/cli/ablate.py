"""Measures what each step of the method adds."""

from __future__ import annotations

from pathlib import Path

import typer

from flows.cli.project import PARAMS_FILE, Params
from flows.process.privacy import load_project

app = typer.Typer()


@app.command()
def main(
    params: Params = PARAMS_FILE,
) -> None:
    """Scores query against gallery under every setting of the paper's ablation."""
    from flows.cli.console import progress, setup_logging, show, show_table

    setup_logging()
    from pose2id.extras import require
    from tasks.reporting.studies import write_studies_part
    from tasks.studies.ablation import run_ablation
    from tasks.tables.catalog import build_catalog
    from tasks.tables.schema import Layout

    require("figures", "matplotlib", purpose="The plot of the ablation")
    parameters = load_project(params)
    with progress("ablation", 0, "settings") as advance:
        table = run_ablation(parameters, Path(), lambda: advance(1))
    layout = Layout()
    write_studies_part(layout)
    build_catalog(layout, parameters.splits)
    columns = ("study", "setting", "value", "mAP", "rank_1", "mINP", "id2")
    show_table(columns, [tuple(row[c] for c in columns) for row in table.to_pylist()])
    show(f"table: {layout.ablation} (view `ablation`)")
    show(f"page:  {layout.reports / 'pages' / 'studies.html'}")
