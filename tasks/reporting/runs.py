"""What the page `runs` shows: when what ran, for how long, where, and how scores moved.

It has clock and machine in it, so it stands in `reports/local/`, outside of every stage's outs. The
page itself is an out and shows what it finds there.
"""

from __future__ import annotations

import json
from typing import Any

from tasks.reporting.assets import Assets
from tasks.reporting.local import write_local
from tasks.reporting.plots import history_plot
from tasks.tables.runs import COMPLETED, read_runs
from tasks.tables.schema import Layout

MAX_RUNS = 100


def write_runs_part(layout: Layout) -> None:
    """Writes `local/runs.js` from `data/runs.parquet`; without it, it says so.

    Args:
        layout: The project.
    """
    table = read_runs(layout)
    runs = [] if table is None else table.to_pylist()
    shown = [_parsed(run) for run in runs[-MAX_RUNS:]]
    completed = [run for run in shown if run["metrics"]]
    with write_local(layout, "runs") as page:
        history = None
        if len(completed) > 1:
            names = sorted({name for run in completed for name in run["metrics"]})
            times = [f"{run['started_utc']:%Y-%m-%d}" for run in completed]
            maps = {n: [run["metrics"].get(n, {}).get("mAP") for run in completed] for n in names}
            history = Assets(page.folder).plot(history_plot(times, maps))
        page.write("_runs.html.j2", runs=shown[::-1], n_runs=len(runs), history=history)


def _parsed(run: dict[str, Any]) -> dict[str, Any]:
    # Rows written by earlier versions credit a failed run with the scores it found in place.
    metrics = json.loads(run["metrics_json"] or "{}") if run["outcome"] == COMPLETED else {}
    return run | {"metrics": metrics, "stages": json.loads(run["stage_seconds_json"] or "{}")}
