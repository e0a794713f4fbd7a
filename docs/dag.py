"""Draws the graph of dvc.yaml as a picture of the documentation: `python docs/dag.py`.

A stage stands one column right of the last stage that it reads from. Stages of a split are marked.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "pictures" / "dag.svg"
BOX_WIDTH, BOX_HEIGHT = 112, 46
COLUMN, ROW, MARGIN = 148, 70, 12
STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #1c2733; }
  text.small { font-size: 11px; fill: #5a6a7a; }
  rect { fill: #eef4fb; stroke: #3f6fa8; rx: 8px; }
  path { fill: none; stroke: #8fa3b8; stroke-width: 1.5; marker-end: url(#tip); }
"""


def read_graph(text: str) -> dict[str, dict[str, set[str]]]:
    """Which stage reads which tables of which other stage.

    Args:
        text: A dvc.yaml.

    Returns:
        Stage -> the stages that it reads from -> the paths that it reads, in the file's order.

    Example:
        >>> read_graph('''
        ... stages:
        ...   a: {cmd: x, outs: [data/a]}
        ...   b: {cmd: y, deps: [data/a/one], outs: [{data/b: {cache: false}}]}
        ... ''')
        {'a': {}, 'b': {'a': {'data/a'}}}
    """
    stages = yaml.safe_load(text)["stages"]
    made = {
        _plain(out): name
        for name, stage in stages.items()
        for kind in ("outs", "metrics", "plots")
        for out in stage.get(kind, ())
    }
    graph: dict[str, dict[str, set[str]]] = {}
    for name, stage in stages.items():
        sources: dict[str, set[str]] = {}
        for dep in map(_plain, stage.get("deps", ())):
            for out, maker in made.items():
                if maker != name and (_within(dep, out) or _within(out, dep)):
                    sources.setdefault(maker, set()).add(out)
        graph[name] = sources
    return graph


def _plain(path: str | dict[str, Any]) -> str:
    """A path without its options; what stands in ${...} is the same for every split."""
    name = path if isinstance(path, str) else next(iter(path))
    for variable in ("${score.query}", "${score.gallery}", "${tune.split}"):
        name = name.replace(variable, "${item.split}")
    return name


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def columns(graph: dict[str, dict[str, set[str]]]) -> dict[str, int]:
    """The column of each stage: one more than the rightmost stage that it reads from.

    >>> columns({"a": {}, "b": {"a": set()}, "c": {"a": set(), "b": set()}})
    {'a': 0, 'b': 1, 'c': 2}
    """
    placed: dict[str, int] = {}
    while len(placed) < len(graph):
        ready = [
            name for name in graph if name not in placed and placed.keys() >= graph[name].keys()
        ]
        if not ready:
            raise ValueError(f"the stages {sorted(graph.keys() - placed.keys())} form a circle")
        for name in ready:
            placed[name] = 1 + max((placed[source] for source in graph[name]), default=-1)
    return placed


def direct(graph: dict[str, dict[str, set[str]]]) -> list[tuple[str, str]]:
    """The arrows that say all: (stage, stage that reads from it), without those implied by others.

    >>> direct({"a": {}, "b": {"a": set()}, "c": {"a": set(), "b": set()}})
    [('a', 'b'), ('b', 'c')]
    """
    behind: dict[str, set[str]] = {}
    for name in sorted(graph, key=columns(graph).__getitem__):
        behind[name] = set(graph[name]).union(*(behind[source] for source in graph[name]))
    return [
        (source, name)
        for name, sources in graph.items()
        for source in sources
        if not any(source in behind[other] for other in sources)
    ]


def draw(text: str) -> str:
    """The picture of a dvc.yaml, as SVG."""
    graph, stages = read_graph(text), yaml.safe_load(text)["stages"]
    column = columns(graph)
    rows: dict[str, int] = {}
    for name in graph:
        rows[name] = sum(column[other] == column[name] for other in rows)
    corner = {name: (MARGIN + column[name] * COLUMN, MARGIN + rows[name] * ROW) for name in graph}
    parts = []
    for source, name in direct(graph):
        x0, y0 = corner[source][0] + BOX_WIDTH, corner[source][1] + BOX_HEIGHT / 2
        x1, y1 = corner[name][0] - 3, corner[name][1] + BOX_HEIGHT / 2
        middle = (x0 + x1) / 2
        tables = escape(", ".join(sorted(graph[name][source])))
        curve = f"M{x0} {y0} C{middle} {y0} {middle} {y1} {x1} {y1}"
        parts.append(f"<path d='{curve}'><title>{tables}</title></path>")
    for name, (x, y) in corner.items():
        note, center = "for each split" if "matrix" in stages[name] else "once", x + BOX_WIDTH / 2
        parts += [
            f"<rect x='{x}' y='{y}' width='{BOX_WIDTH}' height='{BOX_HEIGHT}'/>",
            f"<text x='{center}' y='{y + 21}' text-anchor='middle'>{escape(name)}</text>",
            f"<text x='{center}' y='{y + 37}' text-anchor='middle' class='small'>{note}</text>",
        ]
    width = 2 * MARGIN + max(column.values()) * COLUMN + BOX_WIDTH
    height = 2 * MARGIN + max(rows.values()) * ROW + BOX_HEIGHT
    tip = (
        "<marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' "
        "orient='auto'><polyline points='0 0 8 4 0 8' fill='#8fa3b8'/></marker>"
    )
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' role='img' "
            "aria-label='The stages of dvc.yaml'>",
            f"<defs>{tip}</defs><style>{STYLE}</style>",
            f"<rect width='{width}' height='{height}' style='fill: #fff; stroke: none; rx: 0'/>",
            *parts,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(draw((ROOT / "dvc.yaml").read_text(encoding="utf-8")), encoding="utf-8")
