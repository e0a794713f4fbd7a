"""What the page `studies` shows: what each step adds here, and how parameters were chosen.

It stands in `reports/local/`, outside of every stage's outs: `pose2id ablate` and `tune` are
run when wanted.
"""

from __future__ import annotations

from typing import Any

from tasks.reporting.local import write_local
from tasks.reporting.study_plots import plot_ablation, plot_tuning
from tasks.tables.schema import Layout
from tasks.tables.store import read_table

WIDTH_PX, HEIGHT_PX = 1152, 307  # of the plots, three panels side by side


def write_studies_part(layout: Layout) -> None:
    """Writes `local/studies.js` from the tables of ablation and tuning, those that there are.

    Args:
        layout: The project.
    """
    with write_local(layout, "studies") as page:
        ablation: list[dict[str, Any]] = []
        if layout.ablation.is_file():
            table = read_table(layout.ablation)
            plot_ablation(table, page.folder / "ablation.svg")
            ablation = table.to_pylist()
        tuning: list[dict[str, Any]] = []
        study = layout.tuning / "study.parquet"
        if study.is_file():
            table = read_table(study)
            plot_tuning(table, page.folder / "tuning.svg")
            rows = table.to_pylist()
            tuning = [row for row in rows if row["chosen"] or row["best"] or not row["steps"]]
            tuning = [{**row, "n_settings": len(rows)} for row in tuning]
        page.write(
            "_studies.html.j2",
            ablation=ablation,
            tuning=tuning,
            width_px=WIDTH_PX,
            height_px=HEIGHT_PX,
        )
