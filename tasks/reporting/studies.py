"""`reports/studies.html`: what each step of the method adds here, and how parameters were chosen.

It stands outside of every stage's outs: `pose2id ablate` and `pose2id tune` are run when wanted.
"""

from __future__ import annotations

from typing import Any

from tasks.reporting.pages import render
from tasks.reporting.study_plots import plot_ablation, plot_tuning
from tasks.tables.schema import Layout
from tasks.tables.store import atomic_path, read_table

WIDTH_PX, HEIGHT_PX = 1152, 307  # of the plots, three panels side by side


def write_studies_page(layout: Layout) -> None:
    """Writes the page from the tables of ablation and tuning, those that there are.

    Args:
        layout: The project.
    """
    plots = layout.reports / "studies"
    ablation: list[dict[str, Any]] = []
    if layout.ablation.is_file():
        table = read_table(layout.ablation)
        plot_ablation(table, plots / "ablation.svg")
        ablation = table.to_pylist()
    tuning: list[dict[str, Any]] = []
    study = layout.tuning / "study.parquet"
    if study.is_file():
        table = read_table(study)
        plot_tuning(table, plots / "tuning.svg")
        rows = table.to_pylist()
        tuning = [row for row in rows if row["chosen"] or row["best"] or not row["steps"]]
        tuning = [{**row, "n_settings": len(rows)} for row in tuning]
    html = render(
        "studies.html.j2",
        ablation=ablation,
        tuning=tuning,
        width_px=WIDTH_PX,
        height_px=HEIGHT_PX,
    )
    with atomic_path(layout.reports / "studies.html") as path:
        path.write_text(html, encoding="utf-8")
