"""The style: contrast in both themes, no colour outside of the themes, scrollers by keyboard."""

import re
from pathlib import Path

import pytest

from tasks.reporting.pages import TEMPLATES

CSS = (TEMPLATES / "report.css").read_text(encoding="utf-8")
THEMES = dict(zip(("light", "dark"), re.findall(r":root \{(.*?)\}", CSS, re.DOTALL), strict=True))
BACKGROUNDS = ("paper", "panel", "wash")
HEAT = tuple(f"heat-{number}" for number in range(5))
TEXT = [
    *((ink, ground) for ink in ("ink", "soft", "accent") for ground in BACKGROUNDS),
    *((ink, ground) for ink in ("right", "wrong", "junk") for ground in BACKGROUNDS),
    *((ink, ground) for ink in ("ink", "soft") for ground in (*HEAT, "gap")),
]


def colours(theme):
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", THEMES[theme]))


def luminance(colour):
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first, second):
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_measured_as_wcag_says():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", THEMES)
def test_text_has_aa_contrast(theme):
    values = colours(theme)
    low = {pair: contrast(*(values[name] for name in pair)) for pair in TEXT}
    assert {pair: ratio for pair, ratio in low.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("theme", THEMES)
def test_edges_of_fields_and_marks_have_aa_contrast(theme):
    values = colours(theme)
    for name in ("edge", "right", "wrong", "junk", "accent"):
        for ground in BACKGROUNDS:
            assert contrast(values[name], values[ground]) >= 3, (name, ground)


@pytest.mark.parametrize("theme", THEMES)
def test_marks_of_the_map_have_aa_contrast(theme):
    values = colours(theme)
    marks = [values[f"mark-{number}"] for number in range(10)]
    assert len(set(marks)) == 10
    assert min(contrast(mark, values["plot"]) for mark in marks) >= 4


def test_both_themes_name_the_same_colours_and_nothing_else_has_one():
    assert set(colours("light")) == set(colours("dark"))
    rest = re.sub(r":root \{.*?\}", "", CSS, flags=re.DOTALL)
    assert not re.findall(r"#[0-9a-f]{3,8}\b(?![^{]*\{)|\brgba?\(|\bhsl", rest)


def test_every_scroller_can_be_reached_by_keyboard_and_has_a_name():
    for template in Path(TEMPLATES).glob("*.j2"):
        for tag in re.findall(r'<div class="scroll[^>]*>', template.read_text(encoding="utf-8")):
            assert 'role="region" tabindex="0" aria-label=' in tag, template.name
