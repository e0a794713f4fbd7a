"""The gate of the results: values within their bounds, and no fall since the last good run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pose2id.errors import QualityError
from tasks.gates.running import Check, Gates, Suite

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

FRACTIONS = ("mAP", "mINP", "rank_1", "rank_5", "rank_10", "rank_20")
BETWEEN = "ExpectColumnValuesToBeBetween"
PAIR = "ExpectColumnPairValuesAToBeGreaterThanB"


def check_results(
    summary: pa.Table,
    previous_map: Mapping[str, float | None],
    *,
    max_map_drop: float,
    docs: Path | None = None,
) -> None:
    """Checks a table of results.

    Args:
        summary: The results, columns of `schema.SUMMARY`.
        previous_map: mAP of the last good run, by name as in `metrics.json` (`ipg_nfc`,
            `ipg_nfc_rerank`); empty where there was none. Names on one side only are skipped.
        max_map_drop: How much lower than then mAP may be.
        docs: Folder for Data Docs, if they are wanted.

    Raises:
        QualityError: A value is outside of its bounds, or mAP fell further than allowed.
    """
    gates = Gates()
    frame = _frame(summary, previous_map)
    outcomes = gates.run(Suite("results", frame, _checks(max_map_drop), ("name",)))
    if docs is not None:
        gates.write_docs(docs)
    if not any(value is not None for value in previous_map.values()):
        log.info("results: no earlier run to compare mAP with")
    faults = [outcome for outcome in outcomes if not outcome.success]
    if not faults:
        return
    names = {label for fault in faults if fault.check.code == "map_drop" for label in fault.labels}
    drops = frame[frame["name"].isin(names)]
    lines = [
        f"{fault.check.code} ({fault.check.kwargs.get('column', 'rank columns')}): "
        f"{', '.join(fault.labels)}"
        for fault in faults
        if fault.check.code != "map_drop"
    ] + [
        f"map_drop: {row.name_} has mAP {row.mAP:.4f}, the last good run had {row.previous:.4f}; "
        f"validate.max_map_drop allows {max_map_drop:g} less"
        for row in drops.rename(columns={"name": "name_"}).itertuples()
    ]
    raise QualityError(
        "the results did not pass their gate:\n  "
        + "\n  ".join(lines)
        + "\nIf this is as it should be (other data, another network), raise "
        "validate.max_map_drop for one run; otherwise look at what has changed: dvc params diff"
    )


def _frame(summary: pa.Table, previous_map: Mapping[str, float | None]) -> pd.DataFrame:
    frame: pd.DataFrame = summary.to_pandas()
    suffix = frame["reranked"].map({True: "_rerank", False: ""})
    frame["name"] = frame["variant"] + suffix
    frame["previous"] = frame["name"].map(dict(previous_map)).astype(float)
    frame["map_drop"] = frame["previous"] - frame["mAP"]
    return frame


def _checks(max_map_drop: float) -> tuple[Check, ...]:
    in_bounds = {"min_value": 0, "max_value": 1}
    skip_nulls = {"or_equal": True, "ignore_row_if": "either_value_is_missing"}
    growing = (("rank_5", "rank_1"), ("rank_10", "rank_5"), ("rank_20", "rank_10"))
    counts = ("n_queries", "n_valid_queries")
    return (
        Check("ExpectColumnValuesToBeUnique", {"column": "name"}, "duplicate_variant", "fail"),
        *(
            Check(BETWEEN, {"column": name, **in_bounds}, "out_of_bounds", "fail")
            for name in FRACTIONS
        ),
        *(
            Check(PAIR, {"column_A": a, "column_B": b, **skip_nulls}, "ranks_not_growing", "fail")
            for a, b in growing
        ),
        Check(
            PAIR,
            {"column_A": counts[0], "column_B": counts[1], **skip_nulls},
            "more_valid_queries_than_queries",
            "fail",
        ),
        Check(
            BETWEEN,
            {"column": "map_drop", "max_value": max_map_drop},
            "map_drop",
            "fail",
            "validate.max_map_drop",
        ),
    )
