"""A sheet of pictures in rows, and figures as PNG, PDF or SVG files that a paper takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")
DOTS_PER_INCH = 300
CAPTION_INCHES = 0.17
INK, GREY = "#1b1f24", "#767d85"
SIGNS = {True: ("✓", "#17713f", "-"), False: ("✕", "#b3261e", "--"), None: ("", GREY, "-")}
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "pdf.fonttype": 42,  # TrueType: publishers refuse type 3
    "svg.fonttype": "path",
    "svg.hashsalt": "pose2id",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A picture, the words below it, and whether it is right (None: neither)."""

    picture: Image.Image | None
    caption: str
    is_right: bool | None = None
    key: bool = False  # the picture that was asked with or drawn from


@dataclass(frozen=True, slots=True)
class Line:
    """A row of pictures and the words before it."""

    words: str
    cells: tuple[Cell, ...]


def draw_sheet(lines: Sequence[Line], width_in: float) -> Figure:
    """Draws rows of pictures below each other; a border with a sign says right or wrong.

    Args:
        lines: The rows, at least one with a cell.
        width_in: Width of the figure, in inches.

    Returns:
        The figure, as high as its rows.
    """
    from matplotlib import style
    from matplotlib.figure import Figure

    n = max(len(line.cells) for line in lines)
    left = 0.55 if any(line.words for line in lines) else 0.0  # inches for the words
    side = (width_in - left) / n
    pictures = [cell.picture for line in lines for cell in line.cells if cell.picture]
    # As high as the usual picture of this set, people being about twice as high as wide.
    ratios = sorted(picture.height / picture.width for picture in pictures)
    height = 0.92 * side * min(3.0, ratios[len(ratios) // 2] if ratios else 2.0)
    row = height + CAPTION_INCHES + 0.04
    total = row * len(lines)
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(width_in, total))
        for number, line in enumerate(lines):
            bottom = (total - (number + 1) * row + CAPTION_INCHES) / total
            figure.text(0.0, bottom + height / total / 2, line.words, va="center", color=INK)
            for place, cell in enumerate(line.cells):
                box = (
                    *((left + place * side + 0.04 * side) / width_in, bottom),
                    *(0.92 * side / width_in, height / total),
                )
                _draw_cell(figure.add_axes(box), cell)
    return figure


def save_figure(figure: Figure, path: Path, suffix: str, subject: str) -> None:
    """Writes a figure without clock or host in it: the same figure is the same file.

    Args:
        figure: Of matplotlib.
        path: The file.
        suffix: Of `SUFFIXES`: the format.
        subject: What the file says about itself in its metadata.
    """
    from matplotlib import style

    metadata: dict[str, str | None] = {
        ".png": {"Description": subject, "Software": None},
        ".pdf": {"Subject": subject, "CreationDate": None, "Creator": None, "Producer": None},
        ".svg": {"Description": subject, "Date": None, "Creator": None},
    }[suffix]
    with style.context(["default", STYLE]):
        figure.savefig(
            path, format=suffix[1:], dpi=DOTS_PER_INCH, metadata=metadata, facecolor="white"
        )


def _draw_cell(axes: Axes, cell: Cell) -> None:
    sign, colour, dash = SIGNS[cell.is_right]
    colour = INK if cell.key else colour
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=1.4, linestyle=dash)
    if cell.picture is None:
        axes.text(0.5, 0.5, "no\npicture", ha="center", va="center", color=GREY)
    else:
        axes.imshow(cell.picture, aspect="auto", interpolation="none")
    axes.set_xlabel(f"{sign} {cell.caption}".strip(), color=colour, labelpad=1.5, fontsize=6)
