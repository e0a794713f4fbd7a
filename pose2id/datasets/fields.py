"""The fields of file names and tables: person ids, cameras, outfits, within the tables' limits."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from pose2id.errors import DataError

LARGEST_ID: Final = 2**31 - 1
LARGEST_CAMERA: Final = 2**15 - 1

_NUMBER: Final = re.compile(r"([+-]?[0-9]{1,30})(?:\.0*)?")
_COPY: Final = re.compile(r"\(\d+\)$|[ _-](?:copy|kopie|copie)$|~$", re.IGNORECASE)


def outfit_numbers(pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Numbers the outfits of each person by their names, sorted.

    Args:
        pairs: Person and outfit, as written.

    Example:
        >>> outfit_numbers([("1", "red"), ("2", "red"), ("1", "blue")])
        {('1', 'blue'): 0, ('1', 'red'): 1, ('2', 'red'): 0}
    """
    known: defaultdict[str, set[str]] = defaultdict(set)
    for who, outfit in pairs:
        known[who].add(outfit)
    return {(who, outfit): i for who in known for i, outfit in enumerate(sorted(known[who]))}


def misnamed(stem: str, pattern: str) -> DataError:
    """The error for a name that does not fit a layout.

    Example:
        >>> str(misnamed("0002_c1s1_000451_03 (1)", "<pid>_c<camera>"))
        'looks like a second copy that a download or a file manager made; delete it'
    """
    if _COPY.search(stem):
        return DataError(
            "looks like a second copy that a download or a file manager made; delete it"
        )
    return DataError(f"is not named {pattern}")


def person(text: str) -> int:
    """A person id that the tables can hold.

    Raises:
        DataError: It is no number or larger than the tables' 32 bits.
    """
    return number(text, "person id", LARGEST_ID, least=-1)


def camera(text: str, first: int = 1) -> int:
    """A 0-based camera id from the number in a name.

    Args:
        text: The number as written, also zero-padded.
        first: The number of the dataset's first camera.

    Raises:
        DataError: It is below the first, or too large.

    Example:
        >>> camera("002")
        1
    """
    value = number(text, "camera", LARGEST_CAMERA)
    if value < first:
        raise DataError(f"has camera {value}; this layout counts cameras from {first}")
    return value - first


def number(text: str, what: str, most: int, *, least: int = 0) -> int:
    """A whole number of a name, or of a table that pandas or Excel wrote (`1.0`).

    Raises:
        DataError: It is no whole number, or not within the limits.

    Example:
        >>> number("0012", "person id", 99), number("7.0", "pid", 99)
        (12, 7)
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise DataError(f"{what} is {text!r}; a whole number is needed")
    value = int(match[1])
    if not least <= value <= most:
        raise DataError(f"{what} is {value}; {least} to {most} are allowed")
    return value
