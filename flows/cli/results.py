"""The results table, as the terminal and the run's page show it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.cli.console import show, show_table
from tasks.tables.schema import Layout

METRICS = ("mAP", "mINP", "rank_1", "id2")
TITLES = ("mAP", "mINP", "Rank-1", "ID2")


def as_markdown(row: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    """A run's metrics per variant, with the change since the run before.

    Args:
        row: A row of `data/runs.parquet`.
        before: The row of the last completed run before it, if there is one.

    Returns:
        A Markdown table below one line on what ran.
    """
    metrics = json.loads(row["metrics_json"])
    earlier = json.loads(before["metrics_json"]) if before else {}
    lines = [
        f"{row['n_images']} images, {row['n_generated']} generated pictures, "
        f"{row['n_rejected']} rejected files, {row['n_quarantined']} quarantined rows, "
        f"{row['duration_s']:.0f} s",
        "",
        "| variant | " + " | ".join(TITLES) + " |",
        "|---|" + "---|" * len(TITLES),
    ]
    for variant, values in metrics.items():
        cells = [_cell(values[name], earlier.get(variant, {}).get(name)) for name in METRICS]
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(value: float | None, earlier: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" + (f" ({value - earlier:+.4f})" if earlier is not None else "")


def print_results(root: Path) -> None:
    """Prints the results table with deltas to `base`, and where report and database are."""
    from tasks.tables.store import read_table

    layout = Layout(root)
    rows = read_table(layout.results / "summary.parquet").to_pylist()
    interval = "delta [95 % interval]"
    columns = ("variant", "mAP", interval, "Rank-1", "Rank-5", "mINP", "ID2", "bias", "done")
    show_table(
        columns,
        [
            (
                row["variant"],
                _percent(row["mAP"]),
                _interval(row),
                _percent(row["rank_1"]),
                _percent(row["rank_5"]),
                _percent(row["mINP"]),
                row["id2"],
                row["camera_nmi"],
                _done(row),
            )
            for row in rows
        ],
    )
    first = rows[0]
    show(
        f"\n{first['n_valid_queries']} of {first['n_queries']} queries scored against "
        f"{first['n_gallery']} gallery images ({first['n_distractors']} distractors), "
        f"protocol {first['protocol']}{_spread(first)}"
    )
    if first["note"]:
        show(f"note: {first['note']}")
    show(f"report:    {layout.reports / 'index.html'}")
    show(f"database:  {layout.database}   (pose2id query --list)")


def _done(row: Mapping[str, Any]) -> str:
    """The steps on features that were done, with the values that were given or chosen."""
    values = {"fuse": f" eta {row['eta'] or 0:g}", "nfc": f" k {row['k1']}/{row['k2']}"}
    return ", ".join(step + values.get(step, "") for step in row["applied"] or ())


def _spread(row: Mapping[str, Any]) -> str:
    """How many repetitions a protocol has, and how far apart they lie."""
    if row["mAP_std"] is None:
        return ""
    return f", {row['n_trials']} repetitions with a spread of {100 * row['mAP_std']:.2f} mAP"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _interval(row: Mapping[str, Any]) -> str:
    if row["mAP_delta"] is None:
        return ""
    delta, low, high = (100 * row[f"mAP_delta{end}"] for end in ("", "_low", "_high"))
    return f"{delta:+.2f} [{low:+.2f}, {high:+.2f}]"
