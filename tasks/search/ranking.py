"""Finding the person of a picture in the gallery, with the features that are there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pose2id.errors import DataError
from tasks.search.asking import Networks, fresh_feature
from tasks.search.index import open_features
from tasks.tables.params import Params
from tasks.tables.schema import Layout
from tasks.tables.store import read_table

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True)
class Hit:
    """One gallery image in a ranked list.

    Attributes:
        rank: 1 is the nearest.
        image_id: The gallery image.
        path: Its file, relative to the dataset's root.
        sha256: Of the file, as it was indexed.
        pid: Its person, `None` without labels.
        camid: Its camera, `None` without cameras.
        distance: Squared Euclidean distance of L2-normalised features, 0 to 4.
        is_match: Whether it shows the query's person; `None` where either is not known.
        is_same_file: It has the very bytes of the query.
    """

    rank: int
    image_id: str
    path: str
    sha256: str
    pid: int | None
    camid: int | None
    distance: float
    is_match: bool | None
    is_same_file: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A ranked list and what is known of its query.

    Attributes:
        name: What was asked with: a file's name or an image id.
        query_id: Its image id, where it is indexed.
        query_pid: Its person, where known.
        variant: Whose features were compared.
        notes: How the query's feature came about, step by step.
        hits: Nearest first.
    """

    name: str
    query_id: str | None
    query_pid: int | None
    variant: str
    notes: tuple[str, ...]
    hits: tuple[Hit, ...]


class Gallery:
    """The gallery's features of one variant, read once for any number of queries."""

    def __init__(self, layout: Layout, params: Params, variant: str, networks: Networks) -> None:
        """Reads the features and labels.

        Args:
            layout: Where the tables are.
            params: All parameters.
            variant: Which features are compared; re-ranking is left out.
            networks: What draws and describes a picture that is not indexed.

        Raises:
            DataError: A table is missing or damaged.
            ParamsError: There is no such variant.
        """
        self.variant = variant
        self._layout, self._params, self._networks = layout, params, networks
        self._ids, self._features = self._rows(params.score.gallery)
        self._index = {split: read_table(layout.index(split)) for split in params.splits}

    def search(self, name: str, data: bytes, k: int) -> Found:
        """Ranks the gallery by distance to one picture.

        An indexed picture is asked with its stored feature. Any other is drawn, described and taken
        through the variant's chain on its own.

        Args:
            name: What messages call the picture.
            data: The image file.
            k: Length of the ranked list.

        Returns:
            At most `k` gallery images, nearest first; equal distances in order of image id.

        Raises:
            DataError: The picture is not usable, or the gallery comes from other networks.
        """
        known = self.known(sha256=hashlib.sha256(data).hexdigest())
        query = self._stored(known) if known else None
        notes: tuple[str, ...] = ("its stored feature, made by the pipeline",)
        if query is None:
            query, notes = fresh_feature(
                self._layout, self._params, self.variant, data, self._networks
            )
        if query.shape != self._features.shape[1:]:
            raise DataError(
                f"the {self.variant} features of the gallery are {self._features.shape[1]} wide, "
                f"those of {name} {len(query)}; the tables are of other parameters: dvc repro"
            )
        if "rerank" in self._params.chain(self.variant):
            notes += ("rerank: left out, as it looks at all queries at once",)
        distances = np.maximum(0.0, 2.0 - 2.0 * (self._features @ query))  # (N,)
        nearest = np.argsort(distances, kind="stable")[:k]
        images = self._images(self._ids.take(nearest))
        hits = tuple(
            _hit(rank, row, float(distances[i]), known)
            for rank, (i, row) in enumerate(zip(nearest.tolist(), images, strict=True), start=1)
        )
        return Found(name, known.get("image_id"), known.get("pid"), self.variant, notes, hits)

    def known(self, **wanted: str) -> dict[str, Any]:
        """The index row with this `sha256` or `image_id`, in any split; empty without one."""
        ((column, value),) = wanted.items()
        for table in self._index.values():
            place = pc.index(table.column(column), value).as_py()
            if place >= 0:
                (row,) = table.slice(place, 1).to_pylist()
                return dict(row)
        return {}

    def _images(self, image_ids: pa.StringArray) -> list[dict[str, Any]]:
        """The index rows of gallery images, in their order."""
        table = self._index[self._params.score.gallery]
        rows: list[dict[str, Any]] = table.take(
            pc.index_in(image_ids, value_set=table.column("image_id"))
        ).to_pylist()
        return rows

    def _stored(self, known: dict[str, Any]) -> NDArray[np.float32] | None:
        """The feature of an indexed picture `(D,)`; None where the gates kept it out."""
        ids, features = self._rows(known["split"])
        place = pc.index(ids, known["image_id"]).as_py()
        return features[place] if place >= 0 else None

    def _rows(self, split: str) -> tuple[pa.StringArray, NDArray[np.float32]]:
        return open_features(self._layout, split, self._params.features_of(self.variant))


def draw_ranked_list(query: Image.Image, found: Found, dataset_root: Path) -> Image.Image:
    """Draws the query and its ranked list, with distance, person, camera and file name.

    Args:
        query: The query's picture.
        found: The ranked list.
        dataset_root: Where the gallery's files are.

    Returns:
        The drawing, mode `RGB`.

    Raises:
        DataError: A gallery image can no longer be read, or has been replaced since it was indexed.
    """
    from tasks.search.tiles import Tile, draw_tiles

    tiles = [Tile(query, ("query", _label(found.query_pid, None), Path(found.name).name))]
    for hit in found.hits:
        verdict = {None: "", True: "right", False: "wrong"}[hit.is_match]
        lines = (
            f"{hit.rank}.  {hit.distance:.3f}  {verdict}",
            _label(hit.pid, hit.camid),
            Path(hit.path).stem,
        )
        tiles.append(Tile(_load(dataset_root, hit), lines, hit.is_match))
    return draw_tiles(tiles)


def _label(pid: int | None, camid: int | None) -> str:
    known = {"pid": pid, "camid": camid}
    return "  ".join(f"{name} {value}" for name, value in known.items() if value is not None)


def _load(dataset_root: Path, hit: Hit) -> Image.Image:
    from pose2id.datasets.images import decode_rgb, read_indexed

    return decode_rgb(read_indexed(dataset_root, hit.path, hit.sha256))


def _hit(rank: int, row: dict[str, Any], distance: float, known: dict[str, Any]) -> Hit:
    labelled = row["pid"] is not None and known.get("pid") is not None
    return Hit(
        rank=rank,
        image_id=row["image_id"],
        path=row["path"],
        sha256=row["sha256"],
        pid=row["pid"],
        camid=row["camid"],
        distance=distance,
        is_match=row["pid"] == known["pid"] and not row["distractor"] if labelled else None,
        is_same_file=row["sha256"] == known.get("sha256"),
    )
