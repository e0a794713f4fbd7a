"""The plots. Lines differ by dash and marker, not by colour alone."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT = "#1b1f24", "#8b939c"
BEFORE_COLOUR, AFTER_COLOUR, OTHER_COLOUR = "#8a5a00", "#00617f", "#7b3f83"
COLOURS = (BEFORE_COLOUR, OTHER_COLOUR, "#3f7d3a", AFTER_COLOUR, INK, FAINT)
DASHES = ("-", (0, (1, 1.2)), (0, (5, 2)), "-", (0, (6, 2, 1, 2)), (0, (2, 2)))
MARKERS = "osD^vP*X"
P = ParamSpec("P")
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": "#e3e5e1",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
}


def _styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draws under our style alone, whatever the process's matplotlib settings are."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        from matplotlib import style

        with style.context(["default", STYLE]):
            return draw(*args, **kwargs)

    return styled


@_styled
def cmc_plot(curves: Mapping[str, Sequence[float]]) -> Figure:
    """CMC curves: variant -> share of queries with a hit within the first 1, 2, ... ranks."""
    from matplotlib.ticker import MaxNLocator

    figure, (axes,) = _figure(6.2, 3.6, 1)
    for number, (variant, values) in enumerate(curves.items()):
        shares = 100 * np.asarray(values)
        axes.plot(
            np.arange(1, len(shares) + 1),
            shares,
            color=COLOURS[number % len(COLOURS)],
            linestyle=DASHES[number % len(DASHES)],
            marker=MARKERS[number % len(MARKERS)],
            markevery=max(1, len(shares) // 8),
            markersize=4,
            linewidth=1.6,
            label=variant,
        )
    axes.set_xlabel("rank r")
    axes.set_xlim(left=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("queries with a hit within r, %")
    axes.set_ylim(0, 102)
    axes.legend(loc="lower right")
    return figure


@_styled
def distance_plot(histograms: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> Figure:
    """Distances within and between persons, one panel per variant.

    Args:
        histograms: Variant -> distances within one person and between persons, each `(N,)`.
    """
    figure, panels = _figure(9.2, 3.0, len(histograms))
    top = max(float(np.max(d)) for pair in histograms.values() for d in pair if len(d))
    bins = np.linspace(0, top * 1.02, 61).tolist()
    for axes, (variant, (within, between)) in zip(panels, histograms.items(), strict=True):
        axes.hist(
            between,
            bins,
            density=True,
            color="#b9bec4",
            label="different persons",
            edgecolor="none",
        )
        axes.hist(
            within,
            bins,
            density=True,
            histtype="step",
            color=AFTER_COLOUR,
            linewidth=1.8,
            label="same person",
        )
        axes.set_title(variant)
        axes.set_xlabel("distance of two features")
        axes.set_yticks([])
    panels[0].set_ylabel("density of pairs")
    panels[0].legend(loc="upper left")
    return figure


@_styled
def density_plot(before: NDArray[Any], after: NDArray[Any], after_name: str) -> Figure:
    """ID2 of each person before and after; a point under the diagonal is a tighter person."""
    figure, (axes,) = _figure(4.4, 4.2, 1)
    top = float(max(before.max(), after.max(), 1e-6)) * 1.05
    axes.plot([0, top], [0, top], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axes.scatter(before, after, s=14, facecolor="none", edgecolor=AFTER_COLOUR, linewidth=0.9)
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    axes.set_aspect("equal")
    axes.set_xlabel("ID2 with base")
    axes.set_ylabel(f"ID2 with {after_name}")
    axes.set_title("under the line: tighter")  # text among the points would be covered
    return figure


@_styled
def map_plot(maps: Mapping[str, NDArray[Any]], persons: NDArray[Any]) -> Figure:
    """The 2-D maps, one panel per variant; colour and marker together name a person.

    Args:
        maps: Variant -> positions `(N, 2)`.
        persons: `(N,)` number of each point's person, 0-based.
    """
    from matplotlib import colormaps

    figure, panels = _figure(9.2, 4.6, len(maps))
    palette = colormaps["tab10"](np.arange(10))
    for axes, (variant, points) in zip(panels, maps.items(), strict=True):
        for person in np.unique(persons):
            mine = points[persons == person]
            axes.scatter(
                mine[:, 0],
                mine[:, 1],
                s=16,
                color=palette[person % len(palette)],
                marker=MARKERS[person // len(palette) % len(MARKERS)],
                linewidth=0,
                alpha=0.85,
            )
        axes.set_title(variant)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(False)
    return figure


@_styled
def history_plot(times: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> Figure:
    """The mAP of each variant over the runs, oldest first."""
    figure, (axes,) = _figure(9.2, 3.0, 1)
    for number, (variant, values) in enumerate(series.items()):
        axes.plot(
            range(len(times)),
            [np.nan if value is None else 100 * value for value in values],
            color=COLOURS[number % len(COLOURS)],
            linestyle=DASHES[number % len(DASHES)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=4,
            label=variant,
        )
    axes.set_xticks([0, len(times) - 1], [times[0], times[-1]])
    axes.set_ylabel("mAP, %")
    axes.legend(loc="best")
    return figure


def svg(figure: Figure) -> bytes:
    """The figure as SVG without clock, host or random ids."""
    from matplotlib import style

    buffer = io.BytesIO()
    with style.context(["default", {**STYLE, "svg.hashsalt": "pose2id", "svg.fonttype": "path"}]):
        metadata = {"Date": None, "Creator": None}
        figure.savefig(buffer, format="svg", metadata=metadata, transparent=True)
    return buffer.getvalue()


def _figure(width_in: float, height_in: float, n_panels: int) -> tuple[Figure, Sequence[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    return figure, [figure.add_subplot(1, n_panels, number + 1) for number in range(n_panels)]
