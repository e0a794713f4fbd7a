"""Charts as SVG, written directly: importing a plotting library would take longer than the report.

Equal data gives equal bytes. Text is text, in the reader's own sans-serif font.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

INK, FAINT, GRID = "#1b1f24", "#8b939c", "#e3e5e1"
LEFT, RIGHT, TOP, BOTTOM = 54, 12, 24, 42  # around a panel, px
LETTER_PX = 6.2  # about the width of a letter of 12 px
KEY_PX = 34  # the sample of a line in a legend
# Marker -> its outline within a circle of radius 1.
OUTLINES = {
    "o": "M-1,0A1,1 0 1 1 1,0A1,1 0 1 1 -1,0Z",
    "s": "M-.85,-.85H.85V.85H-.85Z",
    "D": "M0,-1.15L1.15,0L0,1.15L-1.15,0Z",
    "^": "M0,-1.1L1,.8H-1Z",
    "v": "M0,1.1L1,-.8H-1Z",
    "P": "M-.35,-1H.35V-.35H1V.35H.35V1H-.35V.35H-1V-.35H-.35Z",
    "*": "M0,-1.2L.3,-.4L1.15,-.4L.45,.15L.7,1L0,.5L-.7,1L-.45,.15L-1.15,-.4L-.3,-.4Z",
    "X": "M-.9,-.4L-.4,-.9L0,-.5L.4,-.9L.9,-.4L.5,0L.9,.4L.4,.9L0,.5L-.4,.9L-.9,.4L-.5,0Z",
}
MARKERS = tuple(OUTLINES)

Points = Iterable[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Look:
    """How a series looks.

    Attributes:
        colour: Of line, area and markers.
        dash: Lengths of dashes and gaps; empty for a whole line.
        marker: Name of an outline; empty for none.
        width_px: Of the line.
    """

    colour: str
    dash: str = ""
    marker: str = ""
    width_px: float = 1.6


@dataclass(frozen=True, slots=True)
class Chart:
    """A finished chart."""

    svg: bytes
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: its ends, what it is called, and where it has which ticks."""

    low: float
    high: float
    title: str = ""
    ticks: Mapping[float, str] | None = None

    def labels(self) -> Mapping[float, str]:
        """Tick -> its text."""
        if self.ticks is not None:
            return self.ticks
        return {tick: f"{tick:g}" for tick in round_ticks(self.low, self.high)}


class Panel:
    """Axes and what is drawn between them."""

    def __init__(self, x: Axis, y: Axis, title: str = "") -> None:
        """An empty panel."""
        self.x, self.y, self.title = x, y, title
        self._series: list[tuple[str, list[tuple[float, float]], Look, int]] = []
        self.names: list[tuple[str, Look, bool]] = []  # of the legend: name, look, whether an area

    def line(self, points: Points, look: Look, name: str = "", every: int = 1) -> None:
        """A line; NaN interrupts it, and `every` so many points have a marker."""
        self._add("line", points, look, name, every)

    def area(self, points: Points, look: Look, name: str = "") -> None:
        """The area between a line and the lower end of the y axis."""
        self._add("area", points, look, name, 1)

    def dots(self, points: Points, look: Look) -> None:
        """Markers alone: filled, or rings where the look has a width."""
        self._add("dots", points, look, "", 1)

    def _add(self, kind: str, points: Points, look: Look, name: str, every: int) -> None:
        self._series.append((kind, [(float(x), float(y)) for x, y in points], look, every))
        if name:
            self.names.append((name, look, kind == "area"))

    def svg(self, left: float, width: float, height: float) -> Iterable[str]:
        """The panel with its upper left corner at `(left, TOP)`, of this inner size in px."""
        bottom = TOP + height

        def at_x(value: float) -> float:
            return left + width * (value - self.x.low) / (self.x.high - self.x.low)

        def at_y(value: float) -> float:
            return bottom - height * (value - self.y.low) / (self.y.high - self.y.low)

        for tick, text in self.x.labels().items():
            yield _rule(at_x(tick), TOP, at_x(tick), bottom, GRID)
            yield _text(at_x(tick), bottom + 15, text, "middle")
        for tick, text in self.y.labels().items():
            yield _rule(left, at_y(tick), left + width, at_y(tick), GRID)
            yield _text(left - 6, at_y(tick) + 4, text, "end")
        yield _rule(left, TOP, left, bottom, FAINT)
        yield _rule(left, bottom, left + width, bottom, FAINT)
        yield _text(left, TOP - 9, self.title, "start", 13)
        yield _text(left + width / 2, bottom + 33, self.x.title, "middle")
        middle = TOP + height / 2
        turned = f' transform="rotate(-90 {_n(left - 40)} {_n(middle)})"'
        yield _text(left - 40, middle, self.y.title, "middle", more=turned)
        for kind, points, look, every in self._series:
            placed = [(at_x(x), at_y(y)) for x, y in points]
            if kind == "area":
                ends = [(placed[0][0], bottom), *placed, (placed[-1][0], bottom)]
                yield f'<path d="{_path(ends)}Z" fill="{look.colour}"/>'
            if kind == "line":
                yield _line(placed, look)
            if look.marker:
                yield from _markers(placed[::every], look, kind)


def chart(panels: Sequence[Panel], width_px: int, height_px: int) -> Chart:
    """Panels side by side, and one legend for all of them to their right.

    Args:
        panels: At least one; the names of the first are those of all.
        width_px: Width of the whole chart.
        height_px: Its height.
    """
    names = panels[0].names
    legend = KEY_PX + LETTER_PX * max((len(name) for name, _, _ in names), default=0)
    per_panel = (width_px - (legend + RIGHT if names else 0)) / len(panels)
    width, height = per_panel - LEFT - RIGHT, height_px - TOP - BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width_px} {height_px}" '
        f'width="{width_px}" height="{height_px}" font-family="sans-serif" font-size="12">'
    ]
    for number, panel in enumerate(panels):
        parts += panel.svg(number * per_panel + LEFT, width, height)
    for row, (name, look, is_area) in enumerate(names):
        left, y = per_panel * len(panels), TOP + 10 + 18 * row
        key = [(left, y), (left + KEY_PX - 8, y)]
        wide = Look(look.colour, width_px=10) if is_area else look
        parts.append(_line(key, wide))
        if look.marker:
            parts += _markers([(left + KEY_PX / 2 - 4, y)], look, "line")
        parts.append(_text(left + KEY_PX, y + 4, name, "start"))
    return Chart("\n".join([*filter(None, parts), "</svg>\n"]).encode(), width_px, height_px)


def round_ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within a range.

    >>> round_ticks(0, 100), round_ticks(0.5, 12)
    ([0.0, 20.0, 40.0, 60.0, 80.0, 100.0], [2.0, 4.0, 6.0, 8.0, 10.0, 12.0])
    """
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _rule(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    ends = f'x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"'
    return f'<line {ends} stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str, size_px: int = 12, *, more: str = "") -> str:
    if not text:
        return ""
    place = f'x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" font-size="{size_px}" fill="{INK}"'
    return f"<text {place}{more}>{html.escape(text)}</text>"


def _path(points: Sequence[tuple[float, float]]) -> str:
    """Straight lines from point to point; begun anew after a NaN."""
    parts, pen = [], "M"
    for x, y in points:
        if math.isnan(y):
            pen = "M"
        else:
            parts.append(f"{pen}{_n(x)},{_n(y)}")
            pen = "L"
    return "".join(parts)


def _line(points: Sequence[tuple[float, float]], look: Look) -> str:
    dash = f' stroke-dasharray="{look.dash}"' if look.dash else ""
    stroke = f'stroke="{look.colour}" stroke-width="{look.width_px:g}"{dash}'
    return f'<path d="{_path(points)}" fill="none" {stroke} stroke-linejoin="round"/>'


def _markers(points: Points, look: Look, kind: str) -> Iterable[str]:
    ring = kind == "dots" and look.width_px > 0
    radius = 2.8 if kind == "line" else 3.2
    paint = (
        f'fill="none" stroke="{look.colour}" stroke-width="{look.width_px / radius:.3f}"'
        if ring
        else f'fill="{look.colour}"'
    )
    for x, y in points:
        if not math.isnan(y):
            place = f'transform="translate({_n(x)} {_n(y)}) scale({radius})"'
            yield f'<path d="{OUTLINES[look.marker]}" {place} {paint}/>'
