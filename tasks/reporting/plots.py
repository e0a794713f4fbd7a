"""The plots. Lines differ by dash and marker, not by colour alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.reporting.charts import FAINT, INK, MARKERS, Axis, Chart, Look, Panel, chart

BEFORE_COLOUR, AFTER_COLOUR, OTHER_COLOUR = "#8a5a00", "#00617f", "#7b3f83"
COLOURS = (BEFORE_COLOUR, OTHER_COLOUR, "#3f7d3a", AFTER_COLOUR, INK, FAINT)
DASHES = ("", "2 2", "8 3", "", "10 3 2 3", "3 3")
PERSON_COLOURS = (
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd"),
    *("#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"),
)
NO_TICKS: Mapping[float, str] = {}


def _look(number: int) -> Look:
    """The look of the variant of this number."""
    return Look(
        COLOURS[number % len(COLOURS)],
        DASHES[number % len(DASHES)],
        MARKERS[number % len(MARKERS)],
    )


def cmc_plot(curves: Mapping[str, Sequence[float]]) -> Chart:
    """CMC curves: variant -> share of queries with a hit within the first 1, 2, ... ranks."""
    longest = max(map(len, curves.values()))
    panel = Panel(
        Axis(0.5, longest + 0.5, "rank r"), Axis(0, 102, "queries with a hit within r, %")
    )
    for number, (variant, values) in enumerate(curves.items()):
        points = [(rank, 100 * share) for rank, share in enumerate(values, start=1)]
        panel.line(points, _look(number), variant, every=max(1, len(points) // 8))
    return chart([panel], 680, 346)


def distance_plot(histograms: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> Chart:
    """Distances within and between persons, one panel per variant.

    Args:
        histograms: Variant -> distances within one person and between persons, each `(N,)`.
    """
    top = max(float(np.max(d)) for pair in histograms.values() for d in pair if len(d))
    edges = np.linspace(0, max(top, 1e-6) * 1.02, 61)
    panels = []
    for number, (variant, (within, between)) in enumerate(histograms.items()):
        steps = [_steps(edges, distances) for distances in (between, within)]
        highest = max(density for outline in steps for _, density in outline)
        y = Axis(0, 1.05 * highest, "" if number else "density of pairs", NO_TICKS)
        panel = Panel(Axis(0, edges[-1], "distance of two features"), y, variant)
        panel.area(steps[0], Look("#b9bec4"), "different persons")
        panel.line(steps[1], Look(AFTER_COLOUR, width_px=1.8), "same person")
        panels.append(panel)
    return chart(panels, 960, 288)


def _steps(edges: NDArray[Any], values: NDArray[Any]) -> list[tuple[float, float]]:
    """The outline of a histogram, as a density."""
    heights, _ = np.histogram(values, edges, density=True)
    around = np.repeat(edges, 2)[1:-1].tolist()
    return list(zip(around, np.repeat(heights, 2).tolist(), strict=True))


def density_plot(before: NDArray[Any], after: NDArray[Any], after_name: str) -> Chart:
    """ID2 of each person before and after; a point under the diagonal is a tighter person."""
    top = float(max(before.max(), after.max(), 1e-6)) * 1.05
    panel = Panel(
        Axis(0, top, "ID2 with base"),
        Axis(0, top, f"ID2 with {after_name}"),
        "under the line: tighter",  # text among the points would be covered
    )
    panel.line([(0, 0), (top, top)], Look(FAINT, "4 3", width_px=1))
    rings = Look(AFTER_COLOUR, marker="o", width_px=0.9)
    panel.dots(zip(before.tolist(), after.tolist(), strict=True), rings)
    return chart([panel], 422, 422)


def map_plot(maps: Mapping[str, NDArray[Any]], persons: NDArray[Any]) -> Chart:
    """The 2-D maps, one panel per variant; colour and marker together name a person.

    Args:
        maps: Variant -> positions `(N, 2)`.
        persons: `(N,)` number of each point's person, 0-based.
    """
    panels = []
    for variant, points in maps.items():
        low, high = points.min(axis=0), points.max(axis=0)
        room = np.maximum(0.05 * (high - low), 1e-6)
        ends = zip((low - room).tolist(), (high + room).tolist(), strict=True)
        x, y = (Axis(start, end, ticks=NO_TICKS) for start, end in ends)
        panel = Panel(x, y, variant)
        for person in np.unique(persons).tolist():
            colour = PERSON_COLOURS[person % len(PERSON_COLOURS)]
            marker = MARKERS[person // len(PERSON_COLOURS) % len(MARKERS)]
            mine = points[persons == person].tolist()
            panel.dots(((x, y) for x, y in mine), Look(colour, marker=marker, width_px=0))
        panels.append(panel)
    return chart(panels, 883, 442)


def history_plot(times: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> Chart:
    """The mAP of each variant over the runs, oldest first."""
    known = [100 * value for values in series.values() for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    room = max(0.05 * (high - low), 0.5)
    last = len(times) - 1
    ends = {0.0: times[0], float(last): times[-1]}
    panel = Panel(
        Axis(-0.05 * last, 1.05 * last, ticks=ends), Axis(low - room, high + room, "mAP, %")
    )
    for number, (variant, values) in enumerate(series.items()):
        shares = [np.nan if value is None else 100 * value for value in values]
        panel.line(enumerate(shares), _look(number), variant)
    return chart([panel], 883, 288)
