"""The neighbour table of a split, kept between runs: a grown gallery costs its new images only."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pose2id.choices import Device, Search
from pose2id.features import Floats
from tasks.tables import schema
from tasks.tables.aside import read_kept
from tasks.tables.store import read_table, vector_column, vectors, write_table

if TYPE_CHECKING:
    from pose2id.neighbors import NeighborTable


class KeptNeighbors:
    """Finds neighbours as `nearest_neighbors` does; rows of the last run's table are taken over.

    The result is that of a fresh search to the bit. Approximate tables are always made anew:
    which neighbours they find depends on all rows.

    Attributes:
        n_known: Rows that the last search had in common with the last run's.
    """

    def __init__(self, path: Path, image_ids: list[str], device: Device, *, keep: bool) -> None:
        """Names the images.

        Args:
            path: Where the table of the last run is.
            image_ids: N ids, ascending.
            device: Where the products of the exact search are computed.
            keep: Whether this run's table takes its place.
        """
        self._path, self._image_ids, self._keep = path, image_ids, keep
        self._device = device
        self.n_known = 0

    def __call__(
        self, features: Floats, k: int, *, search: Search, effort: int = 16, memory_mib: int
    ) -> NeighborTable:
        """The k nearest neighbours of every image.

        Args:
            features: `(N, D) float32`, L2-normalised.
            k: Neighbours per image.
            search: How they are found.
            effort: What an approximate search spends per image.
            memory_mib: Bound on the search's working memory.
        """
        from pose2id.neighbors import nearest_neighbors, update_neighbors

        if search != "exact":
            return nearest_neighbors(
                features, k, memory_mib=memory_mib, method=search, effort=effort
            )
        digests = _digests(features)
        kept, origin = _read(self._path, k, self._image_ids, digests)
        if kept is None:
            table = nearest_neighbors(features, k, memory_mib=memory_mib, device=self._device)
        else:
            table = update_neighbors(
                kept, features, origin, memory_mib=memory_mib, device=self._device
            )
        if self._keep:
            _write(self._path, table, self._image_ids, digests)
        self.n_known = int((origin >= 0).sum())
        return table


def search_part(
    path: Path,
    image_ids: list[str],
    features: Floats,
    k: int,
    memory_mib: int,
    device: Device,
    shard: int,
    n_shards: int,
) -> int:
    """Finds the neighbours of one of several parts of the images, for `join_parts`.

    Args:
        path: As of `KeptNeighbors`; the part is kept beside it.
        image_ids: N ids, ascending.
        features: `(N, D) float32`, L2-normalised.
        k: Neighbours per image; fewer where there are fewer.
        memory_mib: Bound on the search's working memory.
        device: Where the products are computed.
        shard: Number of the part, 0-based.
        n_shards: How many parts there are.

    Returns:
        How many images the part has.
    """
    from pose2id.neighbors import NeighborTable, update_neighbors

    k = min(k, len(features) - 1)
    digests = _digests(features)
    kept, origin = _read(path, k, image_ids, digests)
    if kept is None:
        kept = NeighborTable(np.empty((0, k), np.int64), np.empty((0, k), np.float32))
    rows = np.array_split(np.arange(len(image_ids)), n_shards)[shard]
    table = update_neighbors(
        kept, features, origin, rows=rows, memory_mib=memory_mib, device=device
    )
    own = rows.tolist()
    _write(_part(path, shard), table, [image_ids[i] for i in own], [digests[i] for i in own])
    return len(own)


def join_parts(path: Path, n_shards: int) -> None:
    """Makes one kept table of its parts, in which `KeptNeighbors` then finds every row."""
    parts = [_part(path, shard) for shard in range(n_shards)]
    write_table(path, pa.concat_tables([read_table(part) for part in parts]), producer="centralize")
    for part in parts:
        part.unlink()


def _digests(features: Floats) -> list[bytes]:
    return [hashlib.sha256(row.tobytes()).digest() for row in features]


def _part(path: Path, shard: int) -> Path:
    return path.with_name(f"{path.stem}.part-{shard:04d}.parquet")


def _read(
    path: Path, k: int, image_ids: list[str], digests: list[bytes]
) -> tuple[NeighborTable | None, NDArray[np.int64]]:
    """The last run's table and where in it each image is, -1 where not with the same feature."""
    from pose2id.neighbors import NeighborTable

    none = np.full(len(image_ids), -1, np.int64)
    rows = read_kept(path, path.parents[2])
    if rows is None or rows.schema != schema.neighbors(k):
        return None, none
    columns = (rows.column(name).to_pylist() for name in ("image_id", "feature_sha256"))
    place = {key: row for row, key in enumerate(zip(*columns, strict=True))}
    origin = [place.get(key, -1) for key in zip(image_ids, digests, strict=True)]
    ids = np.asarray(rows.column("neighbor_rows").combine_chunks().flatten()).reshape(-1, k)
    return NeighborTable(ids, vectors(rows, "sq_distances")), np.asarray(origin, np.int64)


def _write(path: Path, table: NeighborTable, image_ids: list[str], digests: list[bytes]) -> None:
    rows = pa.table(
        {
            "image_id": image_ids,
            "feature_sha256": digests,
            "neighbor_rows": vector_column(table.ids),
            "sq_distances": vector_column(table.sq_distances),
        },
        schema=schema.neighbors(table.k),
    )
    write_table(path, rows, producer="centralize")
