"""Stage `centralize`: the variants base, ipg, nfc and ipg_nfc of every feature of a split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks import schema
from tasks.accepted import load_features
from tasks.neighbors import neighbor_table
from tasks.params import FusionParams, Params
from tasks.stage import Job, ShardReport, jobs
from tasks.store import sha256_hex, vector_column, write_table

PULLED = {"base": "nfc", "ipg": "ipg_nfc"}  # variant -> the same after NFC


def plan(params: Params, root: Path, split: str) -> list[Job]:
    """One job per split: NFC looks at the whole split at once."""
    return jobs("centralize", params, root, split, 1)


def run_shard(job: Job) -> ShardReport:
    """Writes one table per variant, rows in image id order."""
    from pose2id.centralize import nfc

    params = job.params.centralize
    image_ids, original, generated, weights = load_features(job.layout, job.split, params)
    notes = [f"{int((weights == 0).sum())} pictures left out of the fusion"]
    plain = fused_features(original, generated, weights, params.fusion)
    for variant, features in plain.items():
        _write(job, variant, image_ids, features)
        path = job.layout.neighbors(job.split, variant)
        table, n_known = neighbor_table(path, image_ids, features, params.nfc)
        k = params.nfc
        _write(job, PULLED[variant], image_ids, nfc(features, k.k1, k.k2, neighbors=table))
        notes.append(f"{n_known} rows of {variant} as in the last run")
    n_rows = 2 * len(plain) * len(image_ids)
    return ShardReport(n_rows, n_rows, notes=tuple(notes))


def _write(job: Job, variant: str, image_ids: list[str], features: NDArray[np.float32]) -> None:
    table = pa.table(
        {
            "variant": [variant] * len(image_ids),
            "image_id": image_ids,
            "feature": vector_column(features),
        },
        schema=schema.centralized(features.shape[1]),
    )
    producer = sha256_hex(job.params.centralize.model_dump_json())
    write_table(job.layout.centralized(job.split) / f"{variant}.parquet", table, producer=producer)


def merge(params: Params, root: Path, split: str, reports: list[ShardReport]) -> None:
    """Nothing is left to do: the stage has one shard."""


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
