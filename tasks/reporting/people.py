"""Page `people`: every person before and after, and how far apart people lie."""

from __future__ import annotations

from tasks.reporting.tables import Row, Tables
from tasks.tables.params import BASE

EXTREME_PERSONS = 8


def person_rows(tables: Tables, after: str) -> list[Row]:
    """Every person before and after, by pid."""
    return tables.rows(
        """
        SELECT b.pid, b.n_queries, b.n_gallery, b.mAP AS map_before, a.mAP AS map_after,
               a.mAP - b.mAP AS gain, b.id2 AS id2_before, a.id2 AS id2_after
        FROM identities b JOIN identities a USING (pid)
        WHERE b.variant = ? AND a.variant = ? ORDER BY pid
        """,
        *(BASE, after),
    )


def extremes(persons: list[Row]) -> tuple[list[Row], list[Row]]:
    """The persons that gained most, and those that gained least or lost.

    >>> most, least = extremes([{"pid": 1, "gain": 0.2}, {"pid": 2, "gain": None}])
    >>> [row["pid"] for row in most], [row["pid"] for row in least]
    ([1], [1])
    """
    scored = [row for row in persons if row["gain"] is not None]
    most = sorted(scored, key=lambda row: -row["gain"])[:EXTREME_PERSONS]
    return most, sorted(scored, key=lambda row: row["gain"])[:EXTREME_PERSONS]
