"""Stage `validate`: scores of every row, the verdict on it with reasons, and the quality gates.

A rejected row leaves the fusion; too many of them, or tables that cannot be as they are, fail the
stage. The tables to look at then are in `.cache/quarantine/`, because a failed stage has no outs.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pose2id.errors import QualityError
from tasks.stages.base import Job, ShardReport, jobs
from tasks.tables import schema
from tasks.tables.params import Params
from tasks.tables.store import read_table, sha256_hex, write_table

if TYPE_CHECKING:
    from tasks.gates.features import History
    from tasks.gates.running import Outcome, Suite

log = logging.getLogger(__name__)


def plan(params: Params, root: Path, split: str) -> list[Job]:
    """One job per shard of images: decoding and measuring."""
    return jobs("validate", params, root, split, params.shards)


def run_shard(job: Job) -> ShardReport:
    """Measures one shard; the suites run in `merge`, over all shards."""
    from tasks.gates.scores import score_shard
    from tasks.gates.tables import shard_fits

    if not shard_fits(job.layout, job.split, job.params, job.shard):
        return ShardReport(0, notes=("not measured: a table has not the form that it must have",))
    table, n_kept = score_shard(job)
    write_table(job.layout.scores(job.split, job.shard), table, producer="validate")
    return ShardReport(table.num_rows, table.num_rows - n_kept, n_kept)


def merge(params: Params, root: Path, split: str, reports: list[ShardReport]) -> None:
    """Runs all suites, then writes the verdicts, or fails.

    Raises:
        QualityError: The tables do not belong together, or too many rows were rejected.
    """
    from tasks.gates import features, tables, verdict
    from tasks.gates.running import Gates

    layout = schema.Layout(root)
    gates = Gates()
    outcomes = gates.run(tables.tables_suite(layout, split, params))
    if verdict.faults(outcomes):  # nothing can be measured
        _fail(layout, split, params, outcomes, schema.QUALITY.empty_table())
    scores = _scores(layout, split, params)
    suites, histories = _suites(layout, split, params, scores)
    findings = [(suite, gates.run(suite)) for suite in suites]
    outcomes += [outcome for _, found in findings for outcome in found]
    quality = verdict.verdicts(scores, verdict.collect_reasons(findings))
    drift = features.drift_suite(histories, params)
    since_last = gates.run(drift) if drift else []
    if verdict.faults(outcomes + since_last) or verdict.too_many(quality, params):
        _fail(layout, split, params, outcomes + since_last, quality)
    _finish(layout, split, params, outcomes, quality)
    features.remember(histories)
    for item in histories:
        log.info("validate %s: features of %s pictures: %s", split, item.kind, item.note)


def _scores(layout: schema.Layout, split: str, params: Params) -> pa.Table:
    parts = [read_table(layout.scores(split, shard)) for shard in range(params.shards)]
    return pa.concat_tables(parts).sort_by([("image_id", "ascending"), ("pose_id", "ascending")])


def _suites(
    layout: schema.Layout, split: str, params: Params, scores: pa.Table
) -> tuple[list[Suite], list[History]]:
    """The suites whose outcome depends on this run alone, and the comparison with the last one."""
    from tasks.gates import features, generated, index

    frame = scores.to_pandas()
    statistics = features.statistics(layout, split, params.shards)
    dimensions = features.dimensions_suite(statistics, params)
    counts = index.counts_suite(layout, split, params)
    suites = [
        index.index_suite(layout, split, params, frame),
        *([counts] if counts else []),
        index.rejects_suite(layout, split),
        generated.generated_suite(layout, split, params, frame),
        features.features_suite(layout, split, params, frame),
        *([dimensions] if dimensions else []),
    ]
    return suites, features.histories(layout, split, params, statistics)


def _finish(
    layout: schema.Layout,
    split: str,
    params: Params,
    outcomes: list[Outcome],
    quality: pa.Table,
) -> None:
    from tasks.gates import verdict

    write_table(layout.quarantine(split), verdict.quarantine(quality), producer="validate")
    layout.failed_expectations(split).unlink(missing_ok=True)
    producer = sha256_hex(params.validate_.model_dump_json())
    write_table(layout.expectations(split), _expectations(outcomes, split), producer=producer)
    write_table(layout.quality(split), quality, producer=producer)
    for item in outcomes:
        if not item.success and item.check.severity == "warn":
            examples = ", ".join(item.labels[: verdict.IDS_IN_MESSAGE])
            log.warning(
                "validate %s: %s: %d of %d rows of %s: %s",
                *(split, item.check.code, item.n_unexpected, item.n_checked, item.suite, examples),
            )
    counts = verdict.reason_counts(quality)
    log.info(
        "validate %s: %d of %d rows rejected%s",
        *(split, sum(not ok for ok in quality.column("accepted").to_pylist()), quality.num_rows),
        "".join(f", {code} {n}" for code, n in counts.most_common()),
    )


def _fail(
    layout: schema.Layout,
    split: str,
    params: Params,
    outcomes: list[Outcome],
    quality: pa.Table,
) -> None:
    """Leaves everything that tells why, then fails the stage."""
    from tasks.gates import verdict

    write_table(layout.quarantine(split), verdict.quarantine(quality), producer="validate")
    found = _expectations(outcomes, split)
    write_table(layout.failed_expectations(split), found, producer="validate")
    raise QualityError(verdict.failure(split, outcomes, quality, params, layout))


def _expectations(outcomes: list[Outcome], split: str) -> pa.Table:
    rows = [outcome.record(split) for outcome in outcomes]
    return pa.Table.from_pylist(rows, schema=schema.EXPECTATIONS)
