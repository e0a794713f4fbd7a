"""Stage `audit`: labels that the features contradict, and pictures that are there nearly twice.

Query and gallery share their person ids and are looked at together; every other split on its own.
Near duplicates are looked for in all splits at once: between splits they are leaks. What
`data/corrections.csv` says to keep is not listed again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pose2id.label_errors import NOBODY, find_label_errors, near_duplicates
from tasks.stages.base import Job, ShardReport, jobs
from tasks.tables import schema
from tasks.tables.corrections import read_corrections
from tasks.tables.params import BASE, AuditParams, Params
from tasks.tables.store import read_table, read_vectors, sha256_hex, write_table


def plan(params: Params, root: Path, split: str) -> list[Job]:
    """One job over all splits."""
    return jobs("audit", params, root, split, 1)


def run_shard(job: Job) -> ShardReport:
    """Writes the tables of doubtful labels and of near duplicates."""
    layout, params = job.layout, job.params
    corrections = read_corrections(layout.corrections, params.splits)
    kept = {name for name, item in corrections.items() if item.action == "keep"}
    errors: list[dict[str, Any]] = []
    for pool in _pools(params):
        images = _Images.read(layout, pool, params.audited_variant)
        errors += [row for row in _errors(images, params.audit) if row["image_id"] not in kept]
    order = {kind: place for place, kind in enumerate(schema.LABEL_ERROR_KINDS)}
    errors.sort(key=lambda row: (order[row["kind"]], -row["score"], row["pid"], row["image_id"]))
    pictures = _Images.read(layout, params.splits, BASE)
    copies = list(_copies(pictures, params.audit, kept))
    copies.sort(key=lambda row: (not row["between_splits"], -row["similarity"], row["image_id"]))
    producer = sha256_hex(params.audit.model_dump_json(), params.audited_variant)
    for path, rows, columns in (
        (layout.label_errors, errors, schema.LABEL_ERRORS),
        (layout.near_duplicates, copies, schema.NEAR_DUPLICATES),
    ):
        write_table(path, pa.Table.from_pylist(rows, schema=columns), producer=producer)
    between = sum(row["between_splits"] for row in copies)
    notes = (
        f"{len(errors)} images with doubtful labels by {params.audited_variant}",
        f"{len(copies)} near duplicates, {between} of them between splits",
    )
    return ShardReport(len(errors) + len(copies), len(errors) + len(copies), notes=notes)


def merge(params: Params, root: Path, split: str, reports: list[ShardReport]) -> None:
    """The job has written everything."""


@dataclass(frozen=True, slots=True)
class _Images:
    """The images of some splits that have features of a variant, by split and image id.

    Attributes:
        ids: N image ids.
        features: `(N, D) float32`, L2-normalised.
        pids: `(N,)`, -1 for distractors and where unknown.
        camids: `(N,)`, -1 where unknown; None where none is known.
    """

    ids: list[str]
    features: NDArray[np.float32]
    pids: NDArray[np.int64]
    camids: NDArray[np.int64] | None

    @classmethod
    def read(cls, layout: schema.Layout, splits: Sequence[str], variant: str) -> _Images:
        """Reads them from the tables."""
        paths = [layout.centralized(split) / f"{variant}.parquet" for split in splits]
        ids = pa.chunked_array(
            [
                chunk
                for path in paths
                for chunk in read_table(path, ["image_id"]).column("image_id").chunks
            ]
        )
        columns = ["image_id", "pid", "camid", "distractor"]
        index = pa.concat_tables([read_table(layout.index(split), columns) for split in splits])
        labels = index.take(pc.index_in(ids, value_set=index.column("image_id")))
        known = pc.if_else(labels.column("distractor"), None, labels.column("pid"))
        camids = np.asarray(pc.fill_null(labels.column("camid"), -1), np.int64)
        return cls(
            ids.to_pylist(),
            np.concatenate([read_vectors(path) for path in paths]),
            np.asarray(pc.fill_null(known, NOBODY), np.int64),
            None if (camids == -1).all() else camids,
        )


def _pools(params: Params) -> list[tuple[str, ...]]:
    """Splits whose person ids mean the same people."""
    scored = (params.score.query, params.score.gallery)
    return [scored, *((split,) for split in params.splits if split not in scored)]


def _errors(images: _Images, params: AuditParams) -> Iterator[dict[str, Any]]:
    """Rows of `schema.LABEL_ERRORS`."""
    found = find_label_errors(
        images.features, images.pids, images.camids, k=params.k, search=params.search
    )
    groups: list[tuple[str, Sequence[int], int, int | None, int, float]] = [
        *(
            ("wrong_person", (one.row,), one.pid, one.other_pid, one.other_row, one.score)
            for one in found.wrong_person
        ),
        *(
            ("same_person", same.rows, same.pid, same.other_pid, same.other_row, same.score)
            for same in found.same_person
        ),
        *(
            ("two_persons", two.rows, two.pid, None, two.other_row, two.score)
            for two in found.two_persons
        ),
    ]
    for kind, rows, pid, other_pid, other_row, score in groups:
        for row in rows:
            yield {
                "kind": kind,
                "image_id": images.ids[row],
                "pid": pid,
                "other_id": images.ids[other_row],
                "other_pid": other_pid,
                "score": score,
            }


def _copies(images: _Images, params: AuditParams, kept: set[str]) -> Iterator[dict[str, Any]]:
    """Rows of `schema.NEAR_DUPLICATES`."""
    pairs, similarity = near_duplicates(
        images.features, params.min_similarity, search=params.search
    )
    for (left, right), value in zip(pairs.tolist(), similarity.tolist(), strict=True):
        one, other = images.ids[left], images.ids[right]
        if one not in kept and other not in kept:
            yield {
                "image_id": one,
                "other_id": other,
                "similarity": value,
                "between_splits": one.partition("/")[0] != other.partition("/")[0],
            }
