"""Stage `features`: the raw feature of every original and of every generated picture."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from pose2id.errors import DataError
from pose2id.extractors.base import Extractor
from pose2id.machine import compute_on_one_thread, machine_kind
from tasks.stages.base import LOADING, Job, ShardReport, jobs
from tasks.tables import schema
from tasks.tables.params import FeaturesParams, Params
from tasks.tables.row_cache import RowCache
from tasks.tables.store import (
    read_table,
    sha256_hex,
    shard_of,
    shard_prefix,
    vector_column,
    write_table,
)

log = logging.getLogger(__name__)
ROWS_PER_SEGMENT = 512  # pictures between two writes to the cache
# The package that computes, of extractors that do not run in torch.
LIBRARIES = {"onnx": "onnxruntime", "openvino": "openvino"}

Row = tuple[str, int]  # image id, pose id


def plan(params: Params, root: Path, split: str) -> list[Job]:
    """One job per shard of images."""
    return jobs("features", params, root, split, params.shards)


def run_shard(job: Job) -> ShardReport:
    """Extracts the features of one shard that the cache lacks, then writes the shard's table."""
    compute_on_one_thread()
    with LOADING:
        extractor = load_extractor(job.params.features, job.root, job.params.runtime.device)
    sources = _originals(job) | _generated(job)
    # The batch's shape decides the last bits of a feature, so it is part of the key.
    how = (extractor.fingerprint, job.params.features.batch_size)
    wanted = {row: sha256_hex(key, *how) for row, (key, _) in sources.items()}
    cache = row_cache(job)
    cached = cache.keys()
    missing = [row for row in sorted(sources) if wanted[row] not in cached]
    for start in range(0, len(missing), ROWS_PER_SEGMENT):
        rows = missing[start : start + ROWS_PER_SEGMENT]
        cache.append(_extract(rows, sources, wanted, extractor, job))
    cache.compact()
    part = job.layout.features(job.split) / f"part-{job.shard:04d}.parquet"
    table = cache.assemble(wanted, schema.features(extractor.dim))
    write_table(part, table, producer=extractor.fingerprint)
    return ShardReport(len(wanted), len(missing), len(wanted) - len(missing))


def row_cache(job: Job) -> RowCache:
    """Where the features of a shard are kept."""
    from pose2id.generation.devices import resolve_device

    library = LIBRARIES.get(job.params.features.extractor, "torch")
    made_on = machine_kind(resolve_device(job.params.runtime.device).type, library)
    prefix = shard_prefix(job.shard, job.n_shards)
    return RowCache(job.layout.cache / "features", prefix, made_on)


def merge(params: Params, root: Path, split: str, reports: list[ShardReport]) -> None:
    """Nothing is left to do: every shard has written its own part."""


@functools.lru_cache(maxsize=1)
def load_extractor(params: FeaturesParams, root: str, device: str) -> Extractor:
    """The feature network that the parameters name, loaded once per process."""
    from pose2id.extractors.base import InputSpec
    from pose2id.extractors.registry import make_extractor

    spec = None if params.input is None else InputSpec(**params.input.model_dump())
    from_wheel = params.extractor == "efficientnet_lite0"  # features.model is only its card
    return make_extractor(
        params.extractor,
        model=None if from_wheel else Path(root) / params.model,
        input_spec=spec,
        output=params.output,
        dim=params.dim,
        device=device,
    )


def _originals(job: Job) -> dict[Row, tuple[str, Callable[[], bytes]]]:
    """Content key and reader of every original of the shard."""
    from pose2id.datasets.images import read_indexed

    dataset_root = Path(job.root) / job.params.dataset.root
    index = read_table(job.layout.index(job.split), ["image_id", "path", "sha256"])
    return {
        (row["image_id"], schema.ORIGINAL_POSE_ID): (
            row["sha256"],
            functools.partial(read_indexed, dataset_root, row["path"], row["sha256"]),
        )
        for row in index.to_pylist()
        if shard_of(row["image_id"], job.n_shards) == job.shard
    }


def _generated(job: Job) -> dict[Row, tuple[str, Callable[[], bytes]]]:
    """Content key and reader of every generated picture of the shard."""
    part = job.layout.generated(job.split) / f"part-{job.shard:04d}.parquet"
    table = read_table(part, ["image_id", "pose_id", "image"])
    return {
        (row["image_id"], row["pose_id"]): (
            hashlib.sha256(row["image"]).hexdigest(),
            functools.partial(bytes, row["image"]),
        )
        for row in table.to_pylist()
    }


def _extract(
    rows: list[Row],
    sources: dict[Row, tuple[str, Callable[[], bytes]]],
    wanted: dict[Row, str],
    extractor: Extractor,
    job: Job,
) -> pa.Table:
    from pose2id.extractors.batching import extract

    features, failures = extract(
        extractor, [sources[row][1] for row in rows], job.params.features.batch_size
    )
    if failures:
        row, reason = rows[min(failures)], failures[min(failures)]
        raise DataError(
            f"{len(failures)} pictures could not be used although they could when indexed; the "
            f"first is {row[0]} (pose {row[1]}): {reason}. Run the pipeline again"
        )
    return pa.table(
        {
            "image_id": [image_id for image_id, _ in rows],
            "pose_id": pa.array([pose_id for _, pose_id in rows], pa.int16()),
            "feature": vector_column(np.asarray(features)),
            "key": [wanted[row] for row in rows],
        },
        schema=schema.features(extractor.dim),
    )
