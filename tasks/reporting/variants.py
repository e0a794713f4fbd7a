"""The two variants that the report sets side by side."""

from __future__ import annotations

from tasks.reporting.tables import Tables


def best_variant(tables: Tables) -> str | None:
    """The best variant without re-ranking, which the report compares with `base`; None without."""
    return next((row["best"] for row in tables.rows("SELECT best FROM compared")), None)
