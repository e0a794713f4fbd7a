"""`reports/runs.html`: when what ran, for how long, on which machine, and how scores moved.

It has clock and machine in it, so it stands outside of every stage's outs.
"""

from __future__ import annotations

import json
import shutil
from typing import Any

from tasks.reporting.assets import Assets
from tasks.reporting.pages import render
from tasks.reporting.plots import history_plot
from tasks.tables.runs import COMPLETED, read_runs
from tasks.tables.schema import Layout
from tasks.tables.store import atomic_path

MAX_RUNS = 100


def write_runs_page(layout: Layout) -> None:
    """Writes the page from `data/runs.parquet`; without it, the page says so.

    Args:
        layout: The project.
    """
    table = read_runs(layout)
    runs = [] if table is None else table.to_pylist()
    shown = [_parsed(run) for run in runs[-MAX_RUNS:]]
    curves = layout.reports / "runs"
    if curves.is_dir():
        shutil.rmtree(curves)
    history = None
    completed = [run for run in shown if run["metrics"]]
    if len(completed) > 1:
        names = sorted({name for run in completed for name in run["metrics"]})
        times = [f"{run['started_utc']:%Y-%m-%d}" for run in completed]
        series = {n: [run["metrics"].get(n, {}).get("mAP") for run in completed] for n in names}
        # A folder of its own: the report's assets are an out of a stage and change only there.
        history = Assets(curves).plot(history_plot(times, series))
    html = render("runs.html.j2", runs=shown[::-1], n_runs=len(runs), history=history)
    with atomic_path(layout.reports / "runs.html") as path:
        path.write_text(html, encoding="utf-8")


def _parsed(run: dict[str, Any]) -> dict[str, Any]:
    # Rows written by earlier versions credit a failed run with the scores it found in place.
    metrics = json.loads(run["metrics_json"] or "{}") if run["outcome"] == COMPLETED else {}
    return run | {"metrics": metrics, "stages": json.loads(run["stage_seconds_json"] or "{}")}
