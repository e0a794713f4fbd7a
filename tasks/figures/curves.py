"""CMC curves as a figure for a paper; lines differ by dash and marker, not by colour alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tasks.figures.sheet import GREY, INK, STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#8a5a00", "#7b3f83", "#3f7d3a", "#00617f", INK, GREY)
DASHES = ("-", (0, (1, 1.2)), (0, (5, 2)), "-", (0, (6, 2, 1, 2)), (0, (2, 2)))
MARKERS = "osD^vP*X"
LEAST_HEIGHT_IN = 2.4
N_MARKERS = 8


def draw_cmc(curves: Mapping[str, Sequence[float]], width_in: float) -> Figure:
    """Draws the share of queries with a hit within rank 1, 2, ...

    Args:
        curves: Variant -> shares, 0 to 1.
        width_in: Width of the figure, in inches.

    Returns:
        The figure.
    """
    from matplotlib import style
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    look = {"axes.edgecolor": GREY, "axes.spines.top": False, "axes.spines.right": False}
    with style.context(["default", {**STYLE, **look}]):
        size = (width_in, max(0.6 * width_in, LEAST_HEIGHT_IN))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        for number, (variant, shares) in enumerate(curves.items()):
            axes.plot(
                range(1, len(shares) + 1),
                [100 * share for share in shares],
                color=COLOURS[number % len(COLOURS)],
                linestyle=DASHES[number % len(DASHES)],
                marker=MARKERS[number % len(MARKERS)],
                markevery=max(1, len(shares) // N_MARKERS),
                markersize=3,
                linewidth=1.1,
                label=variant,
            )
        axes.set_xlabel("rank")
        axes.set_ylabel("queries with a hit, %")
        axes.set_xlim(left=0.5)
        axes.set_ylim(0, 102)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color="#e3e5e1", linewidth=0.6)
        axes.legend(loc="lower right", frameon=False)
    return figure
