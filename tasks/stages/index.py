"""Stage `index`: every image of a split, checked and described; what is unusable, with a reason."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pyarrow as pa

from pose2id.datasets.base import Counts, ImageRecord, RejectedFile
from pose2id.errors import DataError, ImageChangedError, QualityError
from pose2id.machine import n_cores
from pose2id.workers import start_worker
from tasks.stages.base import Job, ShardReport, jobs
from tasks.tables import schema
from tasks.tables.corrections import correct, read_corrections
from tasks.tables.dataset import reader_of
from tasks.tables.doubts import doubts_about
from tasks.tables.params import Params
from tasks.tables.store import write_table

log = logging.getLogger(__name__)

_CHUNK = 64  # images that are handed to a core at once
_MIN_FOR_PROCESSES = 10_000  # images; a process takes a second to start, an image 0.3 ms


def plan(params: Params, root: Path, split: str) -> list[Job]:
    """One job: reading headers and hashing is fast and needs no model."""
    return jobs("index", params, root, split, 1)


def run_shard(job: Job) -> ShardReport:
    """Writes the index and the rejects of one split."""
    params = job.params
    dataset_root = Path(job.root) / params.dataset.root
    reader = reader_of(params.dataset)
    listing = reader.read_split(dataset_root, job.split)
    decided = job.layout.corrections
    corrections = read_corrections(decided, params.splits)
    corrected = correct(listing.records, corrections, job.split, path=decided, nobody=reader.nobody)
    records = corrected.kept
    before = [_version(dataset_root / record.path) for record in records]
    rows = _inspect_all(records, dataset_root, params)
    after = [_version(dataset_root / record.path) for record in records]
    for record, old, new in zip(records, before, after, strict=True):
        if old != new:
            raise ImageChangedError(
                f"{record.path} changed while split {job.split!r} was indexed; run the pipeline "
                "again once nothing writes to the dataset any more"
            )
    kept = [row for row in rows if isinstance(row, dict)]
    undecodable = [row for row in rows if isinstance(row, RejectedFile)]
    rejects = sorted([*listing.rejects, *undecodable], key=lambda reject: reject.path)
    dropped = [
        RejectedFile(record.path, job.split, f"dropped by {decided.name}")
        for record in corrected.dropped
    ]
    _write(job, kept, rejects, listing.not_images, dropped)
    total = len(kept) + len(rejects)
    for reject in rejects[:20]:
        log.warning("index %s: rejected %s: %s", job.split, reject.path, reject.reason)
    if not kept:
        raise DataError(
            f"split {job.split!r} of {dataset_root} has no usable image: {len(rejects)} files "
            f"rejected, the reasons are in {job.layout.rejects(job.split)}; {listing.n_junk} "
            f"images of people whom dataset.junk_pids leaves out"
        )
    if len(rejects) > params.index.max_reject_rate * total:
        raise QualityError(
            f"{len(rejects)} of {total} files of split {job.split!r} are unusable, more than "
            f"index.max_reject_rate {params.index.max_reject_rate:g} allows; the first: "
            f"{rejects[0].path}: {rejects[0].reason}. All reasons: {job.layout.rejects(job.split)}"
        )
    notes = [
        f"{len(rejects)} rejected",
        f"{listing.n_junk} junk skipped",
        f"{len(listing.not_images)} files that are no images",
    ]
    if dropped or corrected.n_relabelled:
        notes.append(
            f"{corrected.n_relabelled} relabelled and {len(dropped)} dropped by {decided.name}"
        )
    lost = {reject.path for reject in undecodable}
    official = reader.expected(job.split, params.dataset.name)
    if official is not None:
        found = Counts.of([record for record in listing.records if record.path not in lost])
        unlike = official.check(job.split, found)
        for sentence in unlike:
            log.warning("index %s", sentence)
        notes += unlike
    return ShardReport(n_rows=len(kept), n_made=len(kept), notes=tuple(notes))


def merge(params: Params, root: Path, split: str, reports: list[ShardReport]) -> None:
    """Says what the parameters ask of the images that there are too few for."""
    for sentence in doubts_about(params, schema.Layout(root), split):
        log.warning("index %s: %s", split, sentence)


def _version(path: Path) -> tuple[int, ...] | None:
    """What tells a file from another one in its place; `None` where there is none to be seen."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _inspect_all(
    records: Sequence[ImageRecord], dataset_root: Path, params: Params
) -> list[dict[str, object] | RejectedFile]:
    """Every image on all cores: by processes where there are enough to pay for their start.

    Small files spend most of their time under Python's lock, which threads share.
    """
    chunks = [records[start : start + _CHUNK] for start in range(0, len(records), _CHUNK)]
    inspect = partial(_inspect_chunk, dataset_root=dataset_root, params=params)
    pool: Executor
    if len(records) < _MIN_FOR_PROCESSES:
        pool = ThreadPoolExecutor(n_cores())
    else:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(n_cores(), mp_context=context, initializer=start_worker)
    with pool:
        return [row for rows in pool.map(inspect, chunks) for row in rows]


def _inspect_chunk(
    records: Sequence[ImageRecord], dataset_root: Path, params: Params
) -> list[dict[str, object] | RejectedFile]:
    return [_inspect(record, dataset_root, params) for record in records]


def _inspect(
    record: ImageRecord, dataset_root: Path, params: Params
) -> dict[str, object] | RejectedFile:
    from pose2id.datasets.images import inspect_image

    try:
        facts = inspect_image(
            dataset_root / record.path,
            min_side_px=params.index.min_side_px,
            max_pixels=params.index.max_pixels,
        )
    except DataError as error:
        return RejectedFile(record.path, record.split, str(error))
    return {
        **{name: getattr(record, name) for name in record.__slots__},
        "width_px": facts.width_px,
        "height_px": facts.height_px,
        "sha256": facts.sha256,
        "n_bytes": facts.n_bytes,
    }


def _write(
    job: Job,
    kept: list[dict[str, object]],
    *others: Sequence[RejectedFile],
) -> None:
    """Writes the index, and the other files of each of `schema.REJECT_KINDS`."""
    rows = sorted(kept, key=lambda row: str(row["image_id"]))
    reject_rows = [
        {"path": item.path, "split": item.split, "kind": kind, "reason": item.reason}
        for kind, items in zip(schema.REJECT_KINDS, others, strict=True)
        for item in items
    ]
    layout = job.layout
    write_table(
        layout.rejects(job.split),
        pa.Table.from_pylist(reject_rows, schema=schema.REJECTS),
        producer="index",
    )
    write_table(
        layout.index(job.split), pa.Table.from_pylist(rows, schema=schema.INDEX), producer="index"
    )
