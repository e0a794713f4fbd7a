"""Stage `index`: every image of a split, checked and described; what is unusable, with a reason."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from pose2id.datasets.base import DatasetReader, ImageRecord, RejectedFile
from pose2id.errors import DataError, ImageChangedError, QualityError
from tasks.stages.base import Job, ShardReport, jobs
from tasks.tables import schema
from tasks.tables.doubts import doubts_about
from tasks.tables.params import Params
from tasks.tables.store import write_table

log = logging.getLogger(__name__)
DECODE_THREADS = 4


def reader_of(params: Params) -> DatasetReader:
    """The reader that `dataset.reader` names."""
    from pose2id.datasets.registry import make_reader

    dataset = params.dataset
    if dataset.reader == "market1501":
        return make_reader(
            "market1501",
            distractor_pids=dataset.distractor_pids,
            junk_pids=dataset.junk_pids,
        )
    return make_reader(dataset.reader)


def plan(params: Params, root: Path, split: str) -> list[Job]:
    """One job: reading headers and hashing is fast and needs no model."""
    return jobs("index", params, root, split, 1)


def run_shard(job: Job) -> ShardReport:
    """Writes the index and the rejects of one split."""
    params = job.params
    dataset_root = Path(job.root) / params.dataset.root
    listing = reader_of(params).read_split(dataset_root, job.split)
    before = [_version(dataset_root / record.path) for record in listing.records]
    with ThreadPoolExecutor(DECODE_THREADS) as pool:
        rows = list(pool.map(lambda r: _inspect(r, dataset_root, params), listing.records))
    after = [_version(dataset_root / record.path) for record in listing.records]
    for record, old, new in zip(listing.records, before, after, strict=True):
        if old != new:
            raise ImageChangedError(
                f"{record.path} changed while split {job.split!r} was indexed; run the pipeline "
                "again once nothing writes to the dataset any more"
            )
    kept = [row for row in rows if isinstance(row, dict)]
    rejects = [*listing.rejects, *(row for row in rows if isinstance(row, RejectedFile))]
    _write(job, kept, sorted(rejects, key=lambda reject: reject.path))
    total = len(kept) + len(rejects)
    for reject in rejects[:20]:
        log.warning("index %s: rejected %s: %s", job.split, reject.path, reject.reason)
    if not kept:
        raise DataError(
            f"split {job.split!r} of {dataset_root} has no usable image: {len(rejects)} files "
            f"rejected, the reasons are in {job.layout.rejects(job.split)}; {listing.n_junk} "
            f"images of people that dataset.junk_pids {list(params.dataset.junk_pids)} leaves out"
        )
    if len(rejects) > params.index.max_reject_rate * total:
        raise QualityError(
            f"{len(rejects)} of {total} files of split {job.split!r} are unusable, more than "
            f"index.max_reject_rate {params.index.max_reject_rate:g} allows; the first: "
            f"{rejects[0].path}: {rejects[0].reason}. All reasons: {job.layout.rejects(job.split)}"
        )
    return ShardReport(
        n_rows=len(kept),
        n_made=len(kept),
        notes=(f"{len(rejects)} rejected", f"{listing.n_junk} junk skipped"),
    )


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


def _write(job: Job, kept: list[dict[str, object]], rejects: list[RejectedFile]) -> None:
    rows = sorted(kept, key=lambda row: str(row["image_id"]))
    reject_rows = [{"path": r.path, "split": r.split, "reason": r.reason} for r in rejects]
    layout = job.layout
    write_table(
        layout.rejects(job.split),
        pa.Table.from_pylist(reject_rows, schema=schema.REJECTS),
        producer="index",
    )
    write_table(
        layout.index(job.split), pa.Table.from_pylist(rows, schema=schema.INDEX), producer="index"
    )
