"""The gate of the results: values that are possible, and no fall since the last good run.

Plain comparisons of a table of a few rows: Great Expectations would take longer to start than the
whole stage to run. Its findings are kept in the same form as those of the other gates.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pose2id.choices import Consequence
from pose2id.errors import QualityError
from tasks.tables import schema
from tasks.tables.params import Params
from tasks.tables.store import read_table, sha256_hex, write_table

SUITE = "results"
FRACTIONS = ("mAP", "mINP", "rank_1", "rank_5", "rank_10", "rank_20")
RANKS = ("rank_1", "rank_5", "rank_10", "rank_20")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """One expectation of all variants and those that do not meet it, each in words."""

    code: str
    severity: Consequence
    n_checked: int
    faults: tuple[str, ...]

    def record(self, split: str) -> Row:
        """The finding as a row of the table of expectations."""
        return {
            "suite": SUITE,
            "split": split,
            "expectation": self.code,
            "column": None,
            "code": self.code,
            "severity": self.severity,
            "success": not self.faults,
            "n_checked": self.n_checked,
            "n_unexpected": len(self.faults),
            "detail": json.dumps({"failing": list(self.faults)}, sort_keys=True),
        }


def gate_results(layout: schema.Layout, params: Params) -> tuple[str, ...]:
    """Checks the summary that scoring has written, and remembers it if it is good.

    A variant is compared with the last good run of the same dataset, splits, protocol, steps and
    settings: another eta is an experiment, another mAP at the same eta a reason to look.

    Args:
        layout: Where the tables are.
        params: All parameters.

    Returns:
        What to warn of.

    Raises:
        QualityError: A value is impossible, or mAP fell further than `validate.max_map_drop` and
            `validate.map_drop` is `fail`.
    """
    summary = read_table(layout.results / "summary.parquet").to_pylist()
    last_good = _read_last_good(layout)
    findings = check_results(summary, last_good, params)
    rows = [finding.record(params.score.query) for finding in findings]
    table = pa.Table.from_pylist(rows, schema=schema.EXPECTATIONS)
    write_table(layout.results / "expectations.parquet", table, producer="score")
    failed = [fault for found in findings if found.severity == "fail" for fault in found.faults]
    if failed:
        raise QualityError(
            "the results did not pass their gate:\n  "
            + "\n  ".join(failed)
            + "\nIf this is as it should be, raise validate.max_map_drop or set validate.map_drop "
            "to warn for one run; otherwise look at what has changed: dvc params diff"
        )
    _write_last_good(layout, last_good | {_kind(row, params): row["mAP"] for row in summary})
    return tuple(fault for found in findings for fault in found.faults)


Kind = tuple[str, ...]


def check_results(
    summary: Sequence[Row], last_good: dict[Kind, float | None], params: Params
) -> list[Finding]:
    """What is expected of the results and what of it is not so.

    Args:
        summary: Rows of `schema.SUMMARY`.
        last_good: mAP of the last good run of each kind.
        params: All parameters.

    Returns:
        One finding per expectation.
    """

    def finding(code: str, faults: Iterable[str], severity: Consequence = "fail") -> Finding:
        return Finding(code, severity, len(summary), tuple(faults))

    return [
        finding("out_of_bounds", _out_of_bounds(summary)),
        finding("ranks_not_growing", _not_growing(summary)),
        finding(
            "more_valid_queries_than_queries",
            (
                f"{row['variant']}: {row['n_valid_queries']} of {row['n_queries']} queries valid"
                for row in summary
                if row["n_valid_queries"] > row["n_queries"]
            ),
        ),
        finding("map_drop", _drops(summary, last_good, params), params.validate_.map_drop),
    ]


def _out_of_bounds(summary: Sequence[Row]) -> Iterator[str]:
    for row in summary:
        for name in FRACTIONS:
            if row[name] is not None and not 0 <= row[name] <= 1:
                yield f"{row['variant']}: {name} is {row[name]:g}; possible is 0 to 1"


def _not_growing(summary: Sequence[Row]) -> Iterator[str]:
    for row in summary:
        values = [row[name] for name in RANKS if row[name] is not None]
        if values != sorted(values):
            yield f"{row['variant']}: hits fall with the rank: {values}"


def _drops(
    summary: Sequence[Row], last_good: dict[Kind, float | None], params: Params
) -> Iterator[str]:
    for row in summary:
        before = last_good.get(_kind(row, params))
        if before is None or row["mAP"] is None:
            continue
        if before - row["mAP"] > params.validate_.max_map_drop:
            yield (
                f"{row['variant']}: mAP fell from {before:.4f}, in the last good run, to "
                f"{row['mAP']:.4f}; validate.max_map_drop allows {params.validate_.max_map_drop:g}"
            )


def _kind(row: Row, params: Params) -> Kind:
    """What must be the same for two scores to be comparable."""
    score = params.score
    return (
        params.dataset.name,
        score.query,
        score.gallery,
        row["protocol"],
        " ".join(row["steps"]),
        _settings(row["steps"], params),
    )


def _settings(steps: Sequence[str], params: Params) -> str:
    """Digest of what a person has set for the network, the drawings and the steps of a chain."""
    by_step = params.centralize.by_step() | params.score.by_step()
    return sha256_hex(
        repr(params.features.model_dump(exclude={"batch_size"})),
        repr(params.generate.model_dump(exclude={"batch_size"})) if "fuse" in steps else "",
        params.centralize.tracklets,
        *(repr(by_step[name]) for name in steps),
    )


def _read_last_good(layout: schema.Layout) -> dict[Kind, float | None]:
    if not layout.last_good_results.is_file():
        return {}
    rows = read_table(layout.last_good_results).to_pylist()
    return {tuple(row["kind"]): row["mAP"] for row in rows}


def _write_last_good(layout: schema.Layout, found: dict[Kind, float | None]) -> None:
    rows = [{"kind": list(kind), "mAP": found[kind]} for kind in sorted(found)]
    table = pa.Table.from_pylist(rows, schema=schema.LAST_GOOD_RESULTS)
    write_table(layout.last_good_results, table, producer="score")
