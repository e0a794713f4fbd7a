"""HTML pages from templates: everything escaped, style and script inline, nothing from outside."""

from __future__ import annotations

import base64
import functools
import hashlib
import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"
THIN_SPACE = "\u2009"
NONE = "–"  # noqa: RUF001 - an en dash stands for a missing value


def render(template: str, **values: Any) -> str:  # noqa: ANN401 - templates take any value
    """One page.

    Args:
        template: Name of a file in `templates/`.
        values: What the template shows; `base` leads from the page to the report's folder.

    Returns:
        The HTML.
    """
    style = _source("report.css")
    script = _source("report.js")
    # Style and script are named by hash, pictures may come from beside the page, nothing else may
    # load: the page cannot ask any server for anything.
    policy = (
        f"default-src 'none'; img-src 'self' file: data:; style-src '{_digest(style)}'; "
        f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    return (
        environment()
        .get_template(template)
        .render(style=style, script=script, policy=policy, **values)
    )


@functools.cache
def environment() -> Environment:
    """The templates, compiled once per process; all of them escape what they show."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"percent": percent, "signed": signed, "number": number, "count": count}
    return found


def percent(value: float | None, digits: int = 1) -> str:
    """A share in percent, without the sign.

    >>> percent(0.4567), percent(None)
    ('45.7', '–')
    """
    return NONE if _missing(value) else f"{100 * float(value or 0):.{digits}f}"


def signed(value: float | None, digits: int = 1, scale: float = 100.0) -> str:
    """A difference with its sign, in points of percent.

    >>> signed(0.123), signed(-0.02), signed(None)
    ('+12.3', '−2.0', '–')
    """
    if _missing(value):
        return NONE
    text = f"{scale * float(value or 0):+.{digits}f}"
    return text.replace("-", "−")  # noqa: RUF001 - the typographic minus


def number(value: float | None, digits: int = 3) -> str:
    """A number with a fixed number of digits.

    >>> number(0.5), number(-0.5, 1), number(None)
    ('0.500', '−0.5', '–')
    """
    text = NONE if _missing(value) else f"{float(value or 0):.{digits}f}"
    return text.replace("-", "−")  # noqa: RUF001 - the typographic minus


def count(value: int | None) -> str:
    """A whole number with thin spaces between thousands.

    >>> count(20000).split(THIN_SPACE)
    ['20', '000']
    """
    return NONE if value is None else f"{value:,}".replace(",", THIN_SPACE)


def _missing(value: float | None) -> bool:
    return value is None or math.isnan(value)


def _source(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode()
