"""Page `results`: the variants' scores and their CMC curves."""

from __future__ import annotations

import csv
from dataclasses import dataclass

import numpy as np

from pose2id.steps.chain import describe
from pose2id.steps.registry import SCORING_STEPS
from tasks.reporting.assets import Asset, Assets
from tasks.reporting.plots import cmc_plot
from tasks.reporting.tables import Row, Tables
from tasks.reporting.variants import best_variant
from tasks.tables.params import BASE


@dataclass(frozen=True, slots=True)
class Results:
    """What the page shows.

    Attributes:
        variants: Rows of `summary`, with what each does in `words`.
        before: The row of `base`.
        after: The row of the best variant without re-ranking; None where there is none.
        best: The row with the highest mAP.
        note: Why nothing could be scored; None where it could.
        cmc: CMC curves.
        cmc_alt: The same in words.
    """

    variants: list[Row]
    before: Row
    after: Row | None
    best: Row | None
    note: str | None
    cmc: Asset | None
    cmc_alt: str

    @property
    def scored(self) -> bool:
        """Whether there is a variant with an mAP to set beside `base`."""
        return self.after is not None and self.after["mAP"] is not None


def results_section(tables: Tables, assets: Assets) -> Results:
    """Reads the scores and draws the CMC curves."""
    summary = tables.rows("SELECT * FROM summary")
    for row in summary:
        row["words"] = done_in_words(row)
    by_name = {row["variant"]: row for row in summary}
    name = best_variant(tables)
    curves = _curves(tables)
    return Results(
        variants=summary,
        before=by_name[BASE],
        after=by_name[name] if name else None,
        best=max(
            (row for row in summary if row["mAP"] is not None),
            key=lambda row: row["mAP"],
            default=None,
        ),
        note=by_name[BASE]["note"],
        cmc=assets.plot(cmc_plot(curves)) if curves else None,
        cmc_alt="CMC curves. "
        + "; ".join(f"{key}: {100 * v[0]:.1f} % at rank 1" for key, v in curves.items()),
    )


def done_in_words(row: Row) -> str:
    """What was done for a variant, with the values that were given or chosen."""
    done = row["steps"] if row["applied"] is None else row["applied"]
    left_out = set(row["steps"]) - set(done) - set(SCORING_STEPS)
    words = describe([step for step in row["steps"] if step not in left_out])
    values = [f"{name} {row[name]:g}" for name in ("eta", "k1", "k2") if row[name] is not None]
    off = [f"{step} off" for step in row["steps"] if step in left_out]
    return words + (f" ({', '.join([*values, *off])})" if values or off else "")


def _curves(tables: Tables) -> dict[str, list[float]]:
    """CMC values per variant; empty where nothing could be scored."""
    curves: dict[str, list[float]] = {}
    with (tables.layout.results / "cmc.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            curves.setdefault(row["variant"], []).append(float(row["cmc"]))
    return {name: values for name, values in curves.items() if np.isfinite(values).all()}
