"""Suites as plain records, and the Great Expectations machinery that evaluates them.

A suite is a pandas frame of scalar columns and what is expected of it. Great Expectations says
which rows are not as expected; what follows from that is for the caller to say.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pose2id.choices import Severity
from pose2id.errors import QualityError

if TYPE_CHECKING:
    import pandas as pd

MAX_LISTED = 50  # failing rows that the table of expectations names, per expectation

# The second one sets its own level when it is imported.
NOISY_LOGGERS = ("great_expectations", "great_expectations.data_context.types.base")


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation and what a row that fails it means.

    Attributes:
        expectation: Class name in `great_expectations.expectations`.
        kwargs: Its arguments.
        code: Stable name of the fault, in reasons, tables and messages.
        severity: `warn` is only reported, `quarantine` rejects the row, `fail` fails the stage.
        threshold: The parameter that sets the limit, for messages; empty where none does.
    """

    expectation: str
    kwargs: Mapping[str, Any]
    code: str
    severity: Severity
    threshold: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """Everything expected of one table.

    Attributes:
        name: Name of the table.
        frame: Scalar columns, one row per row of the table.
        checks: The expectations.
        label: The columns that name a row to a person.
    """

    name: str
    frame: pd.DataFrame
    checks: tuple[Check, ...]
    label: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one expectation found.

    Attributes:
        suite: Name of the suite.
        check: The expectation.
        success: Whether it was met.
        n_checked: Rows that were looked at; 1 for an expectation of the table as a whole.
        n_unexpected: Rows not as expected.
        rows: `(n,) int64`, their positions in the suite's frame; empty for a whole table.
        labels: Names of the first of them.
        observed: What was found, for an expectation of the table as a whole.
    """

    suite: str
    check: Check
    success: bool
    n_checked: int
    n_unexpected: int
    rows: NDArray[np.int64]
    labels: tuple[str, ...]
    observed: Any

    def record(self, split: str) -> dict[str, Any]:
        """The outcome as a row of the table of expectations."""
        detail: dict[str, Any] = {"expected": _plain(self.check.kwargs)}
        if self.observed is not None:
            detail["observed"] = self.observed
        if self.labels:
            detail["failing"] = list(self.labels)
            detail["not_listed"] = len(self.rows) - len(self.labels)
        return {
            "suite": self.suite,
            "split": split,
            "expectation": self.check.expectation,
            "column": self.check.kwargs.get("column"),
            "code": self.check.code,
            "severity": self.check.severity,
            "success": self.success,
            "n_checked": self.n_checked,
            "n_unexpected": self.n_unexpected,
            "detail": json.dumps(detail, sort_keys=True),
        }


class Gates:
    """A Great Expectations project that lives in memory and leaves nothing behind."""

    def __init__(self) -> None:
        os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when the library is imported
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        for name in NOISY_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        self._gx = gx
        self._context: Any = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self._source = self._context.data_sources.add_pandas("tables")

    def run(self, suite: Suite) -> list[Outcome]:
        """Evaluates a suite, once per name.

        Raises:
            QualityError: An expectation could not be evaluated on this frame.
        """
        gx = self._gx
        frame = suite.frame.reset_index(drop=True)
        batch = self._source.add_dataframe_asset(suite.name).add_batch_definition_whole_dataframe(
            suite.name
        )
        wanted = gx.ExpectationSuite(suite.name)
        for number, check in enumerate(suite.checks):
            make = getattr(gx.expectations, check.expectation)
            meta = {"number": number, "code": check.code, "severity": check.severity}
            wanted.add_expectation(make(**check.kwargs, meta=meta))
        self._context.suites.add(wanted)
        definition = self._context.validation_definitions.add(
            gx.ValidationDefinition(name=suite.name, data=batch, suite=wanted)
        )
        # Positions instead of named ids: naming 100,000 failing rows takes minutes.
        found = definition.run(
            batch_parameters={"dataframe": frame},
            result_format={"result_format": "COMPLETE"},
        )
        by_number: dict[int, Outcome] = {}
        for result in found.results:  # in an order of the library's own
            number = result.expectation_config.meta["number"]
            by_number[number] = _outcome(suite, frame, suite.checks[number], result)
        return [by_number[number] for number in range(len(suite.checks))]


def _outcome(suite: Suite, frame: pd.DataFrame, check: Check, result: Any) -> Outcome:  # noqa: ANN401
    if not result.result:
        raise QualityError(
            f"{check.expectation} of {suite.name} could not be evaluated with {dict(check.kwargs)}:"
            f" {result.exception_info}"
        )
    found = result.result
    by_row = "unexpected_count" in found
    rows = np.array(found.get("unexpected_index_list") or [], np.int64)
    if by_row:
        n_checked, n_unexpected = found["element_count"], found["unexpected_count"]
    else:
        n_checked, n_unexpected = 1, int(not result.success)
    listed = frame.iloc[rows[:MAX_LISTED]]
    columns = [listed[name].astype(str) for name in suite.label]
    return Outcome(
        suite.name,
        check,
        bool(result.success),
        int(n_checked),
        int(n_unexpected),
        rows,
        tuple(" ".join(parts) for parts in zip(*columns, strict=True)),
        _plain(found.get("observed_value")),
    )


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever an expectation takes or tells
    """A value as JSON has it; numbers of numpy become Python's."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
