"""From what the suites found to a verdict per row, and to the words for a stage that fails."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable

import pyarrow as pa

from tasks.gates.running import Outcome, Suite
from tasks.tables import schema
from tasks.tables.params import Params

WHOLE_IMAGE = "original_rejected"  # reason of the pictures of a rejected original
REMAKE = "pose2id cache remake"
IDS_IN_MESSAGE = 3

Key = tuple[str, int]  # image id, pose id


def collect_reasons(findings: Iterable[tuple[Suite, list[Outcome]]]) -> dict[Key, list[str]]:
    """Codes of the rejecting expectations that each row failed, in the order of the suites."""
    reasons: dict[Key, list[str]] = {}
    for suite, outcomes in findings:
        for outcome in outcomes:
            if outcome.check.severity != "quarantine" or not len(outcome.rows):
                continue
            failed = suite.frame.iloc[outcome.rows]
            for key in zip(failed["image_id"], failed["pose_id"], strict=True):
                codes = reasons.setdefault(key, [])
                if outcome.check.code not in codes:
                    codes.append(outcome.check.code)
    return reasons


def verdicts(scores: pa.Table, reasons: dict[Key, list[str]]) -> pa.Table:
    """The table of quality; with an original its generated pictures are rejected too.

    Args:
        scores: Columns of `schema.SCORES`, in key order.
        reasons: See `collect_reasons`.

    Returns:
        Columns of `schema.QUALITY`, the same rows.
    """
    original = schema.ORIGINAL_POSE_ID
    lost = {image_id for image_id, pose_id in reasons if pose_id == original}
    keys = zip(*(scores.column(name).to_pylist() for name in ("image_id", "pose_id")), strict=True)
    per_row = [
        reasons.get((image_id, pose_id), [])
        + ([WHOLE_IMAGE] if image_id in lost and pose_id != original else [])
        for image_id, pose_id in keys
    ]
    table = scores.append_column("accepted", pa.array([not codes for codes in per_row], pa.bool_()))
    table = table.append_column("reasons", pa.array(per_row, pa.list_(pa.string())))
    return table.select(schema.QUALITY.names).cast(schema.QUALITY)


def reason_counts(quality: pa.Table) -> Counter[str]:
    """Rows per reason; a row with two reasons counts for both."""
    return Counter(code for codes in quality.column("reasons").to_pylist() for code in codes)


def n_rejected_themselves(quality: pa.Table) -> int:
    """Rows rejected for a reason of their own, not only because of their original."""
    return sum(
        any(code != WHOLE_IMAGE for code in codes)
        for codes in quality.column("reasons").to_pylist()
    )


def too_many(quality: pa.Table, params: Params) -> bool:
    """Whether more rows were rejected than `validate.max_quarantine_rate` allows."""
    allowed: float = params.validate_.max_quarantine_rate * quality.num_rows
    return n_rejected_themselves(quality) > allowed


def faults(outcomes: list[Outcome]) -> list[Outcome]:
    """The unmet expectations that fail the stage, whatever their number of rows."""
    return [item for item in outcomes if item.check.severity == "fail" and not item.success]


def quarantine(quality: pa.Table) -> pa.Table:
    """The rejected rows, columns of `schema.QUARANTINE`."""
    rejected = quality.filter(pa.compute.invert(quality.column("accepted")))
    commands = [f"{REMAKE} {shlex.quote(i)}" for i in rejected.column("image_id").to_pylist()]
    remake = pa.array(commands, pa.string())
    return rejected.append_column(schema.QUARANTINE.field("remake"), remake)


def failure(
    split: str, outcomes: list[Outcome], quality: pa.Table, params: Params, layout: schema.Layout
) -> str:
    """The message of a failed gate: what was found, where to look and what to do."""
    lines = []
    for item in faults(outcomes):
        ids = ", ".join(item.labels[:IDS_IN_MESSAGE])
        more = len(item.rows) - IDS_IN_MESSAGE
        observed = "" if item.observed is None else f"found {item.observed}, "
        limit = f" ({item.check.threshold})" if item.check.threshold else ""
        lines.append(
            f"{item.check.code}{limit}: {observed}{item.n_unexpected} of {item.n_checked} rows of "
            f"{item.suite}{': ' if ids else ''}{ids}{f' and {more} more' if more > 0 else ''}"
        )
    if too_many(quality, params):
        counts = ", ".join(f"{code} {n}" for code, n in reason_counts(quality).most_common())
        lines.append(
            f"{n_rejected_themselves(quality)} of {quality.num_rows} rows were rejected, more than "
            f"validate.max_quarantine_rate {params.validate_.max_quarantine_rate:g} allows: "
            f"{counts}"
        )
    rejected = quality.filter(pa.compute.invert(quality.column("accepted")))
    example = rejected.column("image_id")[0].as_py() if rejected.num_rows else "IMAGE_ID"
    return (
        f"the quality gates of split {split!r} were not passed:\n  "
        + "\n  ".join(lines)
        + f"\nAll rejected rows: {layout.quarantine(split)}; all findings: "
        f"{layout.failed_expectations(split)}\n"
        f"To have one image made again: {REMAKE} {shlex.quote(example)}, then run the pipeline; to "
        "set other limits: section validate of params.yaml"
    )
