"""Numbers as the report writes them."""

from __future__ import annotations

import math

THIN_SPACE = "\u2009"
NONE = "–"  # noqa: RUF001 - an en dash stands for a missing value


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
