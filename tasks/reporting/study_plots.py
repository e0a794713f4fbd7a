"""Plots of tuning and ablation, as SVG files without clock or random ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from pose2id.extras import require
from tasks.tables.store import atomic_path

LABELS = {"poses": "generated pictures per image", "k": "k1 = k2", "eta": "eta"}
MARKERS = "osD^"


def plot_ablation(table: pa.Table, path: Path) -> None:
    """MAP against the number of poses, k and eta, a panel for each that was studied."""
    rows = table.to_pylist()
    lines = {  # study -> its settings, as they come
        study: list(dict.fromkeys(r["setting"] for r in rows if r["study"] == study))
        for study in LABELS
    }
    lines = {study: names for study, names in lines.items() if names}
    figure, axes = _figure(len(lines))
    base = next(row["mAP"] for row in rows if row["setting"] == "base")
    for axis, (study, names) in zip(axes, lines.items(), strict=True):
        label = LABELS[study]
        for marker, name in zip(MARKERS, names, strict=False):
            _line(axis, rows, study, name, marker)
        axis.axhline(100 * base, linestyle=":", color="#555555", label="base")
        axis.set(xlabel=label, ylabel="mAP (%)", xscale="log" if study == "eta" else "linear")
        axis.legend()
    _save(figure, path)


def plot_tuning(table: pa.Table, path: Path) -> None:
    """MAP of every setting against number of steps, eta and k; best and chosen are marked."""
    rows = [{**row, "n_steps": len(row["steps"])} for row in table.to_pylist()]
    best, chosen = (next(row for row in rows if row[mark]) for mark in ("best", "chosen"))
    labels = {"n_steps": "steps in the chain", "eta": "eta (0: no fuse)", "k": "k (0: no nfc)"}
    figure, axes = _figure(len(labels))
    for axis, (name, label) in zip(axes, labels.items(), strict=True):
        values = sorted({row[name] for row in rows})  # evenly spaced, as 0 has no logarithm
        place = {value: number for number, value in enumerate(values)}
        points = [place[row[name]] for row in rows]
        axis.plot(points, [100 * row["mAP"] for row in rows], ".", color="#00617f")
        for row, mark, color, text in (
            (best, "s", "#555555", "highest"),
            (chosen, "*", "#8a5a00", "chosen"),
        ):
            axis.plot(place[row[name]], 100 * row["mAP"], mark, ms=11, color=color, label=text)
        axis.set_xticks(range(len(values)), [f"{value:g}" for value in values])
        axis.set(xlabel=label, ylabel="mAP on the split tuned on (%)")
        axis.legend()
    _save(figure, path)


def _line(axis: Any, rows: list[dict[str, Any]], study: str, name: str, marker: str) -> None:  # noqa: ANN401
    points = [
        (r["value"], 100 * r["mAP"]) for r in rows if (r["study"], r["setting"]) == (study, name)
    ]
    axis.plot(*zip(*points, strict=True), marker=marker, label=name)


def _figure(n_panels: int) -> tuple[Any, Any]:
    require("figures", "matplotlib", purpose="The plot of a study")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "pose2id"
    figure = Figure(figsize=(4 * n_panels, 3.2), layout="constrained")
    return figure, figure.subplots(1, max(1, n_panels), squeeze=False)[0]


def _save(figure: Any, path: Path) -> None:  # noqa: ANN401
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
