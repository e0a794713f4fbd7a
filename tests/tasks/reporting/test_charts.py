"""Charts are well-formed SVG whatever the names, and show what they are given."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np

from tasks.reporting.charts import Axis, Chart, Look, Panel, chart
from tasks.reporting.plots import cmc_plot, density_plot, distance_plot, history_plot, map_plot

HOSTILE = "<script>alert('&\"</script>"
SVG = "{http://www.w3.org/2000/svg}"


def texts(made: Chart) -> list[str | None]:
    return [element.text for element in ET.fromstring(made.svg).iter(f"{SVG}text")]


def test_every_plot_is_well_formed_and_names_are_text():
    rng = np.random.default_rng(0)
    distances = (rng.random(50), 1 + rng.random(50))
    persons = np.repeat(np.arange(30), 2)
    plots = [
        cmc_plot({HOSTILE: [0.1, 0.5, 1.0], "nfc": [0.2, 0.6, 1.0]}),
        distance_plot({HOSTILE: distances, "nfc": distances}),
        density_plot(rng.random(9), rng.random(9), HOSTILE),
        map_plot({HOSTILE: rng.random((60, 2)), "nfc": rng.random((60, 2))}, persons),
        history_plot(["2026-01-01", "2026-01-02"], {HOSTILE: [0.1, 0.2]}),
    ]
    for made in plots:
        assert b"<script" not in made.svg
        assert any(HOSTILE in (text or "") for text in texts(made))


def test_plots_of_nothing_that_varies_are_drawn_too():
    same = (np.zeros(3), np.zeros(3))
    plots = [
        distance_plot({"base": same}),
        density_plot(np.zeros(2), np.zeros(2), "nfc"),
        map_plot({"base": np.zeros((3, 2))}, np.arange(3)),
        history_plot(["2026-01-01", "2026-01-01"], {"base": [None, None]}),
    ]
    for made in plots:
        assert b"nan" not in made.svg
        ET.fromstring(made.svg)


def test_a_point_lies_where_its_value_is_and_a_gap_stays_a_gap():
    panel = Panel(Axis(0, 10), Axis(0, 1))
    panel.line([(0, 0), (5, float("nan")), (10, 1)], Look("#123456", marker="o"))
    root = ET.fromstring(chart([panel], 266, 166).svg)  # 200 x 100 px between the axes
    line = next(path for path in root.iter(f"{SVG}path") if path.get("fill") == "none")
    assert line.get("d") == "M54,124M254,24"
    markers = [path.get("transform") for path in root.iter(f"{SVG}path") if path is not line]
    assert markers == ["translate(54 124) scale(2.8)", "translate(254 24) scale(2.8)"]
