"""Stage `centralize`: the features of every split after the steps of every variant.

One stage for all splits, one after the other: a step may refer to any of them, so all of them
change at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from pose2id.steps.base import FeatureSet, FindNeighbors
from pose2id.steps.chain import Chain, ChainRunner
from pose2id.steps.registry import STEPS
from tasks.stages.base import Job, ShardReport, jobs
from tasks.tables import schema
from tasks.tables.choice import applied
from tasks.tables.feature_sets import load_feature_set
from tasks.tables.neighbor_tables import KeptNeighbors, join_parts, search_part
from tasks.tables.params import Params
from tasks.tables.schema import Layout
from tasks.tables.store import sha256_hex, vector_column, write_table


def plan(params: Params, root: Path, split: str) -> list[Job]:
    """One job, or one per worker of a cluster: its machines share the search."""
    shared = params.runtime.on_cluster and _searches(params, Layout(root))
    return jobs("centralize", params, root, split, params.runtime.n_workers if shared else 1)


def run_shard(job: Job) -> ShardReport:
    """Does all splits, or as one of several jobs finds neighbours for `merge`."""
    if job.n_shards == 1:
        return _centralize_all(job.params, job.layout)
    n_rows = 0
    memory_mib = job.params.centralize.step("nfc").memory_mib
    searches = _searches(job.params, job.layout)
    for name in job.params.splits:
        split = _Split(job.params, job.layout, name)
        for before, (k, steps) in searches.items():
            features = split.runner.run(name, before, steps).features
            path = job.layout.neighbors(name, before)
            n_rows += search_part(
                path,
                split.image_ids,
                features,
                k,
                memory_mib,
                job.params.runtime.device,
                job.shard,
                job.n_shards,
            )
    return ShardReport(n_rows, n_rows)


def merge(params: Params, root: Path, split: str, reports: list[ShardReport]) -> None:
    """Centralizes with the neighbours that several jobs have found."""
    if len(reports) > 1:
        layout = Layout(root)
        for name in params.splits:
            for before in _searches(params, layout):
                join_parts(layout.neighbors(name, before), len(reports))
        _centralize_all(params, layout)


class _Split:
    """A split's images, and the chains that run over it and the sets that steps refer to."""

    def __init__(self, params: Params, layout: Layout, split: str) -> None:
        tracklets = params.centralize.tracklets
        self.image_ids, own = load_feature_set(layout, split, tracklets)
        self.kept: list[KeptNeighbors] = []

        def load(name: str) -> FeatureSet:
            return own if name == split else load_feature_set(layout, name, tracklets)[1]

        def find_neighbors(name: str, before: Chain) -> FindNeighbors:
            mine = name == split
            ids = self.image_ids if mine else load_feature_set(layout, name, tracklets)[0]
            path, device = layout.neighbors(name, before), params.runtime.device
            found = KeptNeighbors(path, ids, device, keep=mine)
            self.kept.append(found)
            return found

        self.runner = ChainRunner(
            load, params.centralize.by_step(), params.references, find_neighbors
        )


def _centralize_all(params: Params, layout: Layout) -> ShardReport:
    n_rows, notes = 0, list[str]()
    for split in params.splits:
        n_images, of_split = _centralize(params, layout, split)
        n_rows += n_images * len(params.feature_variants())
        notes += [f"{split}: {note}" for note in of_split]
    return ShardReport(n_rows, n_rows, notes=tuple(notes))


def _centralize(params: Params, layout: Layout, split: str) -> tuple[int, list[str]]:
    """Writes one table per variant with steps of its own on features, rows in image id order.

    Returns:
        The number of images, and what to know of how the features came about.
    """
    images, notes = _Split(params, layout, split), list[str]()
    for variant in params.feature_variants():
        what = applied(params, layout, variant)
        result = images.runner.run(split, what.chain, what.params)
        producer = sha256_hex(params.centralize.tracklets, what.fingerprint)
        table = pa.table(
            {
                "variant": [variant] * len(images.image_ids),
                "image_id": images.image_ids,
                "feature": vector_column(result.features),
            },
            schema=schema.centralized(result.features.shape[1]),
        ).replace_schema_metadata(
            {
                schema.NOTES: "\n".join(result.notes),
                schema.APPLIED: json.dumps({**what.values, "notes": what.notes}),
            }
        )
        write_table(layout.centralized(split) / f"{variant}.parquet", table, producer=producer)
        notes += [*what.notes, *result.notes]
    notes += [f"{kept.n_known} neighbours as in the last run" for kept in images.kept]
    return len(images.image_ids), list(dict.fromkeys(notes))


def _searches(params: Params, layout: Layout) -> dict[Chain, tuple[int, Mapping[str, Any]]]:
    """The exact searches within the own set that can be shared.

    Only the first of a chain: a second one needs the first one's outcome. Of two variants with the
    same steps before it but other values, only the first one's is shared.

    Returns:
        The steps before a search -> how many neighbours, and the parameters of the steps.
    """
    found: dict[Chain, tuple[int, Mapping[str, Any]]] = {}
    for variant in params.feature_variants():
        what = applied(params, layout, variant)
        for place, name in enumerate(what.chain):
            asks_for = STEPS[name].own_neighbors
            settings = what.params[name]
            if asks_for is not None:
                if settings.search == "exact":
                    before = what.chain[:place]
                    k, steps = found.get(before, (0, what.params))
                    found[before] = max(k, asks_for(settings)), steps
                break
    return found
