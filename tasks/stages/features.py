"""Stage `features`: the raw feature of every original and of every generated picture.

Where `features.second` names another network, its features of the originals are written, too.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pose2id.choices import Device
from pose2id.errors import DataError, ParamsError
from pose2id.extractors.base import NO_SIDE, Extractor
from pose2id.extractors.families import PRECOMPUTED, Side
from pose2id.machine import compute_on_one_thread, machine_kind
from pose2id.speed import keep_freed_memory
from tasks.stages.base import LOADING, Job, ShardReport, jobs
from tasks.tables import schema
from tasks.tables.params import FeaturesParams, Params
from tasks.tables.row_cache import RowCache
from tasks.tables.store import (
    images_of_shard,
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
Sources = dict[Row, tuple[str, Callable[[], bytes]]]  # content key and reader of each picture


def plan(params: Params, root: Path, split: str) -> list[Job]:
    """One job per shard of images."""
    return jobs("features", params, root, split, params.shards)


def run_shard(job: Job) -> ShardReport:
    """Extracts the features of one shard that the cache lacks, then writes the shard's tables."""
    params, second = job.params.features, job.params.features.of_second
    given = params.extractor == PRECOMPUTED
    originals = {} if given and second is None else _originals(job)
    if given:
        report = _take_precomputed(job)
    else:
        sources = originals | _generated(job)
        report = _extracted(job, params, sources, job.layout.features(job.split))
    if second is not None:
        also = _extracted(job, second, originals, job.layout.second_features(job.split))
        report = ShardReport(
            report.n_rows + also.n_rows,
            report.n_made + also.n_made,
            report.n_reused + also.n_reused,
            notes=report.notes,
        )
    return report


def _extracted(job: Job, params: FeaturesParams, sources: Sources, folder: Path) -> ShardReport:
    """Writes the features of some pictures by one network, those that the cache lacks made anew."""
    compute_on_one_thread()
    keep_freed_memory()
    with LOADING:
        extractor = load_extractor(params, job.root, job.params.runtime.device)
    sides = _sides(job, extractor.side, list(sources))
    # The batch's shape decides the last bits of a feature, so it is part of the key.
    how = (extractor.fingerprint, params.batch_size)
    wanted = {
        row: sha256_hex(key, *how, *([sides[row]] if sides else []))
        for row, (key, _) in sources.items()
    }
    cache = _row_cache(job, params)
    cached = cache.keys()
    missing = [row for row in sorted(sources) if wanted[row] not in cached]
    for start in range(0, len(missing), ROWS_PER_SEGMENT):
        rows = missing[start : start + ROWS_PER_SEGMENT]
        cache.append(_extract(rows, sources, sides, wanted, extractor, params.batch_size))
    cache.compact()
    table = cache.assemble(wanted, schema.features(extractor.dim))
    write_table(folder / f"part-{job.shard:04d}.parquet", table, producer=extractor.fingerprint)
    return ShardReport(len(wanted), len(missing), len(wanted) - len(missing))


def row_cache(job: Job) -> RowCache:
    """Where the features of a shard are kept."""
    return _row_cache(job, job.params.features)


def _row_cache(job: Job, params: FeaturesParams) -> RowCache:
    from pose2id.devices import resolve_device

    library = LIBRARIES.get(params.extractor, "torch")
    made_on = machine_kind(resolve_device(job.params.runtime.device).type, library)
    prefix = shard_prefix(job.shard, job.n_shards)
    return RowCache(job.layout.cache / "features", prefix, made_on)


def merge(params: Params, root: Path, split: str, reports: list[ShardReport]) -> None:
    """Every shard has written its own part; a second network's that is asked no more goes."""
    if params.features.of_second is None:
        shutil.rmtree(schema.Layout(root).second_features(split), ignore_errors=True)


def _take_precomputed(job: Job) -> ShardReport:
    """Writes the shard's table from features that were given.

    Raises:
        DataError: They lack images or drawings of the project.
    """
    from tasks.tables.precomputed import read_precomputed

    folder = Path(job.root) / job.params.features.model
    index = read_table(job.layout.index(job.split), ["image_id"])
    image_ids = sorted(index.column("image_id").to_pylist())
    given = read_precomputed(folder, job.split, image_ids)
    part = job.layout.generated(job.split) / f"part-{job.shard:04d}.parquet"
    table = read_table(part, ["image_id", "pose_id"])
    drawn = set(zip(*(table.column(n).to_pylist() for n in table.column_names), strict=True))
    if missing := sorted(drawn - given.rows.keys()):
        raise DataError(
            f"{folder} has no features of {len(missing)} drawings of {job.split!r}, such as "
            f"{missing[0][0]} in pose {missing[0][1]}; give them with pose_ids, or set "
            "generate.generator to none"
        )
    wanted = sorted(row for row in given.rows if shard_of(row[0], job.n_shards) == job.shard)
    if job.params.generate.generator != "none":  # then every drawing is of a picture that is there
        wanted = [row for row in wanted if row[1] == schema.ORIGINAL_POSE_ID or row in drawn]
    features = np.asarray(given.features[[given.rows[row] for row in wanted]], dtype=np.float32)
    out = job.layout.features(job.split) / f"part-{job.shard:04d}.parquet"
    keys = [sha256_hex(feature.tobytes()) for feature in features]
    write_table(out, _table(wanted, features, keys), producer=given.fingerprint)
    return ShardReport(len(wanted), notes=("precomputed",))


def _table(rows: list[Row], features: NDArray[np.float32], keys: list[str]) -> pa.Table:
    return pa.table(
        {
            "image_id": [image_id for image_id, _ in rows],
            "pose_id": pa.array([pose_id for _, pose_id in rows], pa.int16()),
            "feature": vector_column(features),
            "key": keys,
        },
        schema=schema.features(features.shape[1]),
    )


@functools.lru_cache(maxsize=2)  # the second network is the other one
def load_extractor(params: FeaturesParams, root: str, device: Device) -> Extractor:
    """The feature network that the parameters name, checked, loaded once per process.

    Raises:
        Pose2IdError: It cannot be loaded, or its features could not be used.
    """
    from pose2id.extractors.consistency import check_consistency

    extractor = open_extractor(params, root, device)
    check_watched(extractor.files, Path(root) / params.model)
    check_consistency(extractor, params.batch_size)
    return extractor


def open_extractor(params: FeaturesParams, root: str, device: Device) -> Extractor:
    """The feature network that the parameters name, as it is."""
    from pose2id.extractors.base import InputSpec
    from pose2id.extractors.registry import OWN_WEIGHTS
    from pose2id.extractors.registry import load_extractor as load

    model = Path(root) / params.model
    return load(
        params.extractor,
        None if params.extractor == OWN_WEIGHTS else model,  # then features.model is only its card
        input=None if params.input is None else InputSpec(**params.input.model_dump()),
        output=params.output,
        dim=params.dim,
        device=device,
        options=dict(params.options),
    )


def check_watched(files: Iterable[Path], model: Path) -> None:
    """Refuses a network that DVC would watch only in part: `features.model` is its dependency.

    Raises:
        ParamsError: A file that decides the features is neither `features.model` nor inside it.
    """
    watched = model.resolve()
    outside = [
        file
        for file in files
        if file.resolve() != watched and watched not in file.resolve().parents
    ]
    if outside:
        raise ParamsError(
            f"features.model is {model}, but {', '.join(file.name for file in outside)} beside it "
            "decides the features too, and a change of it would go unseen. Put the network's files "
            "into a folder of their own and set features.model to that folder"
        )


def _originals(job: Job) -> Sources:
    """Content key and reader of every original of the shard."""
    from pose2id.datasets.images import read_indexed

    dataset_root = Path(job.root) / job.params.dataset.root
    columns = ["image_id", "path", "sha256"]
    index = images_of_shard(job.layout.index(job.split), job.shard, job.n_shards, columns)
    return {
        (row["image_id"], schema.ORIGINAL_POSE_ID): (
            row["sha256"],
            functools.partial(read_indexed, dataset_root, row["path"], row["sha256"]),
        )
        for row in index.to_pylist()
    }


def _generated(job: Job) -> Sources:
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


def _sides(job: Job, side: Side, rows: list[Row]) -> dict[Row, int]:
    """What the network wants to know of each picture beside its pixels; empty if nothing.

    A drawing was taken by no camera, and has the modality of its original.

    Raises:
        DataError: An image has no camera although the network wants it.
    """
    if side == "none":
        return {}
    column = {"camera": "camid", "modality": "modality"}[side]
    index = read_table(job.layout.index(job.split), ["image_id", column])
    known = dict(zip(*(index.column(name).to_pylist() for name in index.column_names), strict=True))
    if side == "modality":
        return {row: int(known[row[0]] == "infrared") for row in rows}
    originals = [row for row in rows if row[1] == schema.ORIGINAL_POSE_ID]
    if unknown := [image_id for image_id, _ in originals if known[image_id] is None]:
        raise DataError(
            f"the network wants each image's camera, but {len(unknown)} images of {job.split!r} "
            f"have none, such as {unknown[0]}; set features.options.camera_embedding to none"
        )
    return {row: known[row[0]] if row[1] == schema.ORIGINAL_POSE_ID else NO_SIDE for row in rows}


def _extract(
    rows: list[Row],
    sources: Sources,
    sides: dict[Row, int],
    wanted: dict[Row, str],
    extractor: Extractor,
    batch_size: int,
) -> pa.Table:
    from pose2id.extractors.batching import extract

    features, failures = extract(
        extractor,
        [sources[row][1] for row in rows],
        batch_size,
        sides=[sides[row] for row in rows] if sides else None,
    )
    if failures:
        row, reason = rows[min(failures)], failures[min(failures)]
        raise DataError(
            f"{len(failures)} pictures could not be used although they could when indexed; the "
            f"first is {row[0]} (pose {row[1]}): {reason}. Run the pipeline again"
        )
    return _table(rows, np.asarray(features), [wanted[row] for row in rows])
