"""Stage `generate`: every image re-drawn in every pose; only missing pictures are made."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import logging
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from pose2id.generation.base import Generator
from pose2id.machine import compute_on_one_thread, machine_kind
from pose2id.speed import keep_freed_memory
from tasks.stages.base import LOADING, Job, ShardReport, jobs
from tasks.stages.poses import read_poses
from tasks.tables import schema
from tasks.tables.params import GenerateParams, Params
from tasks.tables.row_cache import RowCache
from tasks.tables.store import images_of_shard, sha256_hex, shard_prefix, write_table

if TYPE_CHECKING:
    from pose2id.choices import Device

log = logging.getLogger(__name__)
# The cheapest of the settings that keep files small: docs/measured.md has the others.
ENCODING: Final[dict[str, dict[str, Any]]] = {
    "png": {"compress_type": zlib.Z_RLE},
    "jpeg": {"quality": 95, "subsampling": 0},
    "webp": {"lossless": True, "method": 0, "quality": 0},
}


def plan(params: Params, root: Path, split: str) -> list[Job]:
    """One job per shard of images."""
    return jobs("generate", params, root, split, params.shards)


def run_shard(job: Job) -> ShardReport:
    """Makes the pictures of one shard that the cache lacks, then writes the shard's table."""
    params = job.params.generate
    if params.generator == "none":
        part = job.layout.generated(job.split) / f"part-{job.shard:04d}.parquet"
        write_table(part, schema.GENERATED.empty_table(), producer="none")
        return ShardReport(0, notes=("no drawings: generate.generator is none",))
    images = _images_of_shard(job)
    pose_ids, keypoints = read_poses(job.layout)
    compute_on_one_thread()
    keep_freed_memory()
    with LOADING:
        generator = load_generator(params, job.root, job.params.runtime.device)
    seeds = {
        (image_id, pose_id): noise_seed(params, image_id, pose_id)
        for image_id in images.column("image_id").to_pylist()
        for pose_id in pose_ids
    }
    settings = json.dumps(_settings(params), sort_keys=True)
    wanted = {
        (image_id, pose_id): sha256_hex(
            sha, pose.tobytes(), generator.fingerprint, settings, seeds[image_id, pose_id]
        )
        for image_id, sha in zip(*_columns(images, "image_id", "sha256"), strict=True)
        for pose_id, pose in zip(pose_ids, keypoints, strict=True)
    }
    cache = row_cache(job)
    cached = cache.keys()
    missing = [
        row
        for row in images.to_pylist()
        if any(wanted[row["image_id"], pose_id] not in cached for pose_id in pose_ids)
    ]
    with ThreadPoolExecutor(1) as writer:  # encodes and stores a batch while the next is drawn
        stored: Future[None] | None = None
        for batch in _batches(missing, generator.batch_size):
            pictures = _draw(batch, job, generator, pose_ids, keypoints, seeds)
            if stored is not None:
                stored.result()
            stored = writer.submit(_store, cache, batch, pose_ids, pictures, job, seeds, wanted)
        if stored is not None:
            stored.result()
    cache.compact()
    table = cache.assemble(wanted, schema.GENERATED)
    part = job.layout.generated(job.split) / f"part-{job.shard:04d}.parquet"
    write_table(part, table, producer=generator.fingerprint)
    n_made = len(missing) * len(pose_ids)
    return ShardReport(n_rows=len(wanted), n_made=n_made, n_reused=len(wanted) - n_made)


def row_cache(job: Job) -> RowCache:
    """Where the pictures of a shard are kept."""
    from pose2id.devices import resolve_device

    made_on = machine_kind(resolve_device(job.params.runtime.device).type, "torch")
    prefix = shard_prefix(job.shard, job.n_shards)
    return RowCache(job.layout.cache / "generated", prefix, made_on)


def merge(params: Params, root: Path, split: str, reports: list[ShardReport]) -> None:
    """Nothing is left to do: every shard has written its own part."""


@functools.lru_cache(maxsize=1)
def load_generator(params: GenerateParams, root: str, device: Device) -> Generator:
    """The generator that the parameters name, loaded once per process."""
    folder = Path(root) / params.model
    if params.generator == "ipg":
        from pose2id.generation.ipg import IpgGenerator

        return IpgGenerator.load(
            folder,
            solver=params.solver,
            steps=params.steps,
            guidance_scale=params.guidance_scale,
            batch_size=params.batch_size,
            device=device,
            dtype=params.precision,
        )
    from pose2id.generation.controlnet import ControlNetGenerator

    return ControlNetGenerator.load(
        folder,
        steps=params.steps,
        guidance_scale=params.guidance_scale,
        batch_size=params.batch_size,
        device=device,
    )


def noise_seed(params: GenerateParams, image_id: str, pose_id: int) -> int:
    """The seed of a picture's start noise: of (seed, pose), or of (seed, image, pose).

    With `per_pose` all images share the noise of a pose, so that what the noise does to a picture
    is common to all of them and cancels when features are compared.
    """
    parts = [params.seed, pose_id] + ([image_id] if params.noise == "per_image" else [])
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:8], "little")


def encode(picture: NDArray[np.uint8], file_format: str) -> bytes:
    """A picture `(H, W, 3) uint8` RGB as the bytes of an image file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format=file_format, **ENCODING[file_format])
    return buffer.getvalue()


def _batches(rows: list[dict[str, str]], size: int) -> list[tuple[dict[str, str], ...]]:
    return [tuple(rows[start : start + size]) for start in range(0, len(rows), size)]


def _settings(params: GenerateParams) -> dict[str, object]:
    """What shapes a picture and its file besides weights, reference, pose and seed.

    The batch's size is the shape of every product, which decides the last bits.
    """
    names = {"solver", "steps", "guidance_scale", "format", "batch_size"}
    return {**params.model_dump(include=names), "encoding": ENCODING[params.format]}


def _images_of_shard(job: Job) -> pa.Table:
    index = images_of_shard(job.layout.index(job.split), job.shard, job.n_shards)
    if not job.params.generate.distractors:
        index = index.filter(pa.compute.invert(index.column("distractor")))
    return index


def _columns(table: pa.Table, *names: str) -> list[list[str]]:
    return [table.column(name).to_pylist() for name in names]


def _draw(
    batch: tuple[dict[str, str], ...],
    job: Job,
    generator: Generator,
    pose_ids: list[int],
    keypoints: NDArray[np.float32],
    seeds: dict[tuple[str, int], int],
) -> NDArray[np.uint8]:
    """All poses of a few images, `(B, P, H, W, 3) uint8`."""
    from pose2id.datasets.images import decode_rgb, read_indexed

    dataset_root = Path(job.root) / job.params.dataset.root
    references = [
        decode_rgb(read_indexed(dataset_root, row["path"], row["sha256"])) for row in batch
    ]
    noise = [[seeds[row["image_id"], pose_id] for pose_id in pose_ids] for row in batch]
    return generator(references, keypoints, np.array(noise, dtype=np.uint64))


def _store(
    cache: RowCache,
    batch: tuple[dict[str, str], ...],
    pose_ids: list[int],
    pictures: NDArray[np.uint8],
    job: Job,
    seeds: dict[tuple[str, int], int],
    wanted: dict[tuple[str, int], str],
) -> None:
    """Encodes the pictures of a batch and adds them to the cache."""
    file_format = job.params.generate.format
    height_px, width_px = pictures.shape[2:4]
    rows = [
        {
            "image_id": image_id,
            "pose_id": pose_id,
            "image": encode(picture, file_format),
            "format": file_format,
            "width_px": width_px,
            "height_px": height_px,
            "seed": seeds[image_id, pose_id],
            "key": wanted[image_id, pose_id],
        }
        for image_id, poses in zip((row["image_id"] for row in batch), pictures, strict=True)
        for pose_id, picture in zip(pose_ids, poses, strict=True)
    ]
    cache.append(pa.Table.from_pylist(rows, schema=schema.GENERATED))
