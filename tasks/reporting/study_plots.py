"""Plots of tuning and ablation, as SVG files without clock or random ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

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
    """The response of cross-validated mAP to each parameter, the best trial marked."""
    figure, axes = _figure(3)
    rows = table.to_pylist()
    best = max(rows, key=lambda row: (row["mAP"], -row["trial"]))
    for axis, name in zip(axes, ("eta", "k1", "k2"), strict=True):
        axis.plot([r[name] for r in rows], [100 * r["mAP"] for r in rows], "o", color="#00617f")
        axis.plot(best[name], 100 * best["mAP"], "*", markersize=16, color="#8a5a00", label="best")
        axis.set(xlabel=name, ylabel="cross-validated mAP (%)")
        axis.set_xscale("log" if name == "eta" else "linear")
        axis.legend()
    _save(figure, path)


def _line(axis: Any, rows: list[dict[str, Any]], study: str, name: str, marker: str) -> None:  # noqa: ANN401
    points = [
        (r["value"], 100 * r["mAP"]) for r in rows if (r["study"], r["setting"]) == (study, name)
    ]
    axis.plot(*zip(*points, strict=True), marker=marker, label=name)


def _figure(n_panels: int) -> tuple[Any, Any]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "pose2id"
    figure = Figure(figsize=(4 * n_panels, 3.2), layout="constrained")
    return figure, figure.subplots(1, max(1, n_panels), squeeze=False)[0]


def _save(figure: Any, path: Path) -> None:  # noqa: ANN401
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
