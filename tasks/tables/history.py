"""`data/runs.parquet`: one row per run of the pipeline. History, so not an out of any stage."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.tables import schema
from tasks.tables.runs import COMPLETED, read_runs, write_runs
from tasks.tables.store import read_table


def append_run(
    root: Path,
    *,
    started: datetime,
    duration_s: float,
    trigger: str,
    outcome: str,
    stage_seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Appends one row that describes the project as a run has left it.

    Args:
        root: The project's root folder.
        started: Start of the run, in UTC.
        duration_s: Wall-clock seconds.
        trigger: What started it: `flow`, `deployment`, `demo`.
        outcome: `completed`, or the reason of the failure.
        stage_seconds: Seconds of each stage that ran.

    Returns:
        The row.
    """
    from tasks.reporting.runs import write_runs_part

    layout = schema.Layout(root)
    row = {
        "started_utc": started.replace(microsecond=0),
        "duration_s": round(duration_s, 1),
        "trigger": trigger,
        "outcome": outcome,
        "git_commit": git_commit(root),
        "params_sha256": _sha256(root / "params.yaml") or "",
        "dvc_lock_sha256": _sha256(root / "dvc.lock"),
        **_counts(layout),
        # A run that failed has left the scores of an earlier one in place: they are not its own.
        "metrics_json": json.dumps(
            read_metrics(layout) if outcome == COMPLETED else {}, sort_keys=True
        ),
        "stage_seconds_json": json.dumps({k: round(v, 1) for k, v in stage_seconds.items()}),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    new = pa.Table.from_pylist([row], schema=schema.RUNS)
    before = read_runs(layout)
    if before is not None:
        # Parquet has no seconds: what was written as such comes back as milliseconds.
        new = pa.concat_tables([before.cast(schema.RUNS), new])
    write_runs(layout, new)
    if (layout.reports / "index.html").is_file():
        write_runs_part(layout)
    return row


def read_metrics(layout: schema.Layout) -> dict[str, dict[str, float | None]]:
    """The last results, variant -> metric -> value; empty before the first run."""
    path = layout.results / "metrics.json"
    if not path.is_file():
        return {}
    metrics: dict[str, dict[str, float | None]] = json.loads(path.read_text(encoding="utf-8"))
    return metrics


def last_completed(layout: schema.Layout) -> dict[str, Any] | None:
    """The row of the last run that completed."""
    table = read_runs(layout)
    rows = [] if table is None else table.to_pylist()
    return next((row for row in reversed(rows) if row["outcome"] == COMPLETED), None)


def git_commit(root: Path) -> str | None:
    """Hash of the checked out commit, `-dirty` where files differ; `None` outside a repository."""
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # a machine without git
        return None
    return done.stdout.strip() or None


def _counts(layout: schema.Layout) -> dict[str, int]:
    tables = sorted((layout.data / "index").glob("[!.]*.parquet"))
    rejects = [path for path in tables if path.name.endswith(".rejects.parquet")]
    quality = [
        path
        for path in sorted((layout.data / "quality").glob("[!.]*.parquet"))
        if not path.name.endswith(".expectations.parquet")
    ]
    generated = sorted((layout.data / "generated").glob("*/[!.]*.parquet"))
    return {
        "n_images": sum(_n_rows(path, "image_id") for path in tables if path not in rejects),
        "n_rejected": sum(
            read_table(path, ["kind"]).column("kind").to_pylist().count("unusable")
            for path in rejects
        ),
        "n_generated": sum(_n_rows(path, "image_id") for path in generated),
        "n_quarantined": sum(
            pc.sum(pc.invert(read_table(path, ["accepted"]).column("accepted"))).as_py() or 0
            for path in quality
        ),
    }


def _n_rows(path: Path, column: str) -> int:
    return int(read_table(path, [column]).num_rows)


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
