"""Stage `centralize`: the variants base, ipg, nfc and ipg_nfc of every feature of a split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.stages.base import Job, ShardReport, jobs
from tasks.tables import schema
from tasks.tables.fusion_inputs import load_features
from tasks.tables.neighbor_tables import join_parts, neighbor_table, search_part
from tasks.tables.params import FusionParams, Params
from tasks.tables.schema import Layout
from tasks.tables.store import sha256_hex, vector_column, write_table

PULLED = {"base": "nfc", "ipg": "ipg_nfc"}  # variant -> the same after NFC


def plan(params: Params, root: Path, split: str) -> list[Job]:
    """One job per split, or one per worker of a cluster: its machines share the search."""
    shared = params.runtime.on_cluster and params.centralize.nfc.search == "exact"
    return jobs("centralize", params, root, split, params.runtime.n_workers if shared else 1)


def run_shard(job: Job) -> ShardReport:
    """Does the whole split, or as one of several jobs finds neighbours for `merge`."""
    if job.n_shards == 1:
        return _centralize(job.params, job.layout, job.split)
    params, n_rows = job.params.centralize, 0
    image_ids, original, generated, weights = load_features(job.layout, job.split, params)
    plain = fused_features(original, generated, weights, params.fusion)
    for variant, features in plain.items():
        path = job.layout.neighbors(job.split, variant)
        n_rows += search_part(path, image_ids, features, params.nfc, job.shard, job.n_shards)
    return ShardReport(n_rows, n_rows)


def merge(params: Params, root: Path, split: str, reports: list[ShardReport]) -> None:
    """Centralizes with the neighbours that several jobs have found."""
    if len(reports) > 1:
        layout = Layout(root)
        for variant in PULLED:
            join_parts(layout.neighbors(split, variant), len(reports))
        _centralize(params, layout, split)


def _centralize(params: Params, layout: Layout, split: str) -> ShardReport:
    """Writes one table per variant, rows in image id order."""
    from pose2id.centralize import nfc

    chosen = params.centralize
    image_ids, original, generated, weights = load_features(layout, split, chosen)
    notes = [f"{int((weights == 0).sum())} pictures left out of the fusion"]
    plain = fused_features(original, generated, weights, chosen.fusion)

    def write(variant: str, features: NDArray[np.float32]) -> None:
        table = pa.table(
            {
                "variant": [variant] * len(image_ids),
                "image_id": image_ids,
                "feature": vector_column(features),
            },
            schema=schema.centralized(features.shape[1]),
        )
        producer = sha256_hex(chosen.model_dump_json())
        write_table(layout.centralized(split) / f"{variant}.parquet", table, producer=producer)

    for variant, features in plain.items():
        write(variant, features)
        path = layout.neighbors(split, variant)
        table, n_known = neighbor_table(path, image_ids, features, chosen.nfc)
        pulled = nfc(features, chosen.nfc.k1, chosen.nfc.k2, neighbors=table)
        write(PULLED[variant], pulled)
        notes.append(f"{n_known} rows of {variant} as in the last run")
    n_rows = 2 * len(plain) * len(image_ids)
    return ShardReport(n_rows, n_rows, notes=tuple(notes))


def fused_features(
    original: NDArray[np.float32],
    generated: NDArray[np.float32],
    weights: NDArray[np.float32],
    params: FusionParams,
) -> dict[str, NDArray[np.float32]]:
    """Features without and with their generated pictures, L2-normalised.

    Args:
        original: `(N, D) float32`, raw.
        generated: `(N, M, D) float32`, raw.
        weights: `(N, M) float32`, 0 leaves a picture out.
        params: Fusion parameters.

    Returns:
        `base`, `(N, D) float32`, and `ipg`, `(N, D') float32`.
    """
    from pose2id.centralize import fuse, l2_normalize

    base = l2_normalize(original)
    if not generated.shape[1]:
        return {"base": base, "ipg": base}
    fused = fuse(original, generated, reduce=params.reduce, eta=params.eta, weights=weights)
    return {"base": base, "ipg": fused}
