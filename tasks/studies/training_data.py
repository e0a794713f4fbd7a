"""The pictures of a training: what its recipe names, and the people that it never sees."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from pose2id.datasets.base import ImageRecord
from pose2id.errors import DataError
from pose2id.training.pool import Pool
from pose2id.training.recipe import (
    FIRST_RESERVED_SEED,
    IndexedData,
    MixedData,
    Recipe,
    RenderedData,
)
from pose2id.training.sources import IndexedSource, JoinedSource, PictureSource, RenderedSource

VALIDATION_IDENTITIES = 100
VALIDATION_SEED_STEP = 500


def open_source(recipe: Recipe) -> PictureSource:
    """Builds the source of pictures that a recipe names.

    Args:
        recipe: The recipe.

    Returns:
        Rendered identities, an indexed split without the people held out, or both.

    Raises:
        DataError: A table is missing or holds nothing to train from.
    """
    data = recipe.data
    if isinstance(data, IndexedData):
        return _indexed_source(data, held_out=False)
    if isinstance(data, MixedData):
        return JoinedSource(
            [_indexed_source(data.indexed, held_out=False), _rendered_source(data.rendered)]
        )
    return _rendered_source(data)


def open_pool(recipe: Recipe, limit: int | None = None) -> Pool:
    """Opens the training pictures, making those that are missing.

    Args:
        recipe: The recipe.
        limit: Use only the first pictures.

    Returns:
        The pool.
    """
    size = recipe.model.height_px, recipe.model.width_px
    return Pool(open_source(recipe), recipe.cache, *size, recipe.workers, limit)


def rendered_validation(recipe: Recipe, shots: int, standard: int) -> Pool:
    """Rendered people of another seed, which no training of this recipe sees."""
    data = recipe.data
    seed = data.seed if isinstance(data, RenderedData) else recipe.seed
    source = RenderedSource(
        (seed + VALIDATION_SEED_STEP) % FIRST_RESERVED_SEED,
        VALIDATION_IDENTITIES,
        shots,
        standard,
        free=0,
        look=data.look if isinstance(data, RenderedData) else "plain",
    )
    return Pool(source, recipe.cache, recipe.model.height_px, recipe.model.width_px)


def held_out_pool(recipe: Recipe) -> Pool | None:
    """Photographs of the people that a training on an indexed split leaves out.

    Returns:
        The pool; None where the recipe trains on rendered people alone or holds nobody out.
    """
    data = recipe.data
    indexed = data.indexed if isinstance(data, MixedData) else data
    if isinstance(indexed, RenderedData) or not indexed.holdout:
        return None
    source = _indexed_source(indexed.model_copy(update={"background": "keep"}), held_out=True)
    return Pool(source, recipe.cache, recipe.model.height_px, recipe.model.width_px)


def held_out_people(pids: set[int], share: float) -> set[int]:
    """Which people a training leaves out: decided by a hash, so that new people move nobody.

    Args:
        pids: All people.
        share: About how many of them, in [0, 1).

    Returns:
        The people left out.

    >>> sorted(held_out_people(set(range(12)), 0.3))
    [7, 8, 9, 10]
    """
    return {pid for pid in pids if _fraction(pid) < share}


def _fraction(pid: int) -> float:
    digest = hashlib.sha256(f"held out/{pid}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _rendered_source(data: RenderedData) -> RenderedSource:
    return RenderedSource(
        data.seed, data.identities, data.shots, data.standard, data.free, data.look
    )


def _indexed_source(data: IndexedData, *, held_out: bool) -> IndexedSource:
    missing = [path for path in (*data.index, data.keypoints) if not path.is_file()]
    if missing:
        raise DataError(
            f"{', '.join(map(str, missing))}: no such file. Run the index stage for the split, and "
            "write key points as Parquet with the columns image_id and keypoints."
        )
    rows = [row for path in data.index for row in pq.read_table(path).to_pylist()]
    left_out = held_out_people({row["pid"] for row in rows if row["pid"] is not None}, data.holdout)
    rows = [row for row in rows if (row["pid"] in left_out) == held_out]
    records = [
        ImageRecord(
            row["image_id"],
            row["path"],
            row["split"],
            row["pid"],
            row["camid"],
            distractor=row["distractor"],
        )
        for row in rows
    ]
    return IndexedSource(
        records,
        data.root,
        [row["sha256"] for row in rows],
        _read_keypoints(data.keypoints),
        data.background,
    )


def _read_keypoints(path: Path) -> dict[str, np.ndarray]:
    table = pq.read_table(path, columns=["image_id", "keypoints"]).to_pydict()
    return {
        image_id: np.asarray(points, dtype=np.float32).reshape(18, 3)
        for image_id, points in zip(table["image_id"], table["keypoints"], strict=True)
    }
