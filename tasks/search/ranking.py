"""Finding the person of one picture in the gallery, with the features that are there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pose2id.errors import DataError
from tasks.tables.params import Params
from tasks.tables.schema import Layout
from tasks.tables.seal import table_schema
from tasks.tables.store import read_table, vectors

if TYPE_CHECKING:
    from PIL import Image

    from pose2id.extractors.base import Extractor


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
    """A ranked list and what is known of its query: its image id and person, where indexed."""

    query_id: str | None
    query_pid: int | None
    hits: tuple[Hit, ...]


def search(
    layout: Layout, params: Params, data: bytes, extractor: Extractor, *, variant: str, k: int
) -> Found:
    """Ranks the gallery by distance to one picture.

    The picture is compared by its own feature alone: it has no generated pictures and, as a single
    image, no neighbours to be centralized with.

    Args:
        layout: Where the tables are.
        params: All parameters.
        data: The query's image file.
        extractor: The network that the parameters name.
        variant: Which features of the gallery are compared.
        k: Length of the ranked list.

    Returns:
        At most `k` gallery images, nearest first; equal distances in order of image id.

    Raises:
        DataError: The picture is not usable, tables are missing, or they come from another network.
    """
    gallery = params.score.gallery
    _check_same_network(layout, gallery, extractor)
    path = layout.centralized(gallery) / f"{params.features_of(variant)}.parquet"
    table = read_table(path, ["image_id", "feature"])
    features = vectors(table)  # (N, D), L2-normalised
    query = feature_of(data, extractor)  # (D,), L2-normalised
    if features.shape[1] != len(query):
        raise DataError(
            f"the {variant} features of the gallery are {features.shape[1]} wide, a single "
            f"picture's is {len(query)}, because centralize.fuse.reduce is 'concat'; search base "
            "or nfc instead"
        )
    distances = np.maximum(0.0, 2.0 - 2.0 * (features @ query))  # (N,)
    nearest = np.argsort(distances, kind="stable")[:k]
    known = _known_image(layout, params, hashlib.sha256(data).hexdigest())
    rows = {row["image_id"]: row for row in read_table(layout.index(gallery)).to_pylist()}
    image_ids = table.column("image_id").to_pylist()
    hits = tuple(
        _hit(rank, rows[image_ids[i]], float(distances[i]), known)
        for rank, i in enumerate(nearest.tolist(), start=1)
    )
    return Found(known.get("image_id"), known.get("pid"), hits)


def feature_of(data: bytes, extractor: Extractor) -> NDArray[np.float32]:
    """The L2-normalised feature `(D,) float32` of one image file.

    Raises:
        DataError: The bytes are not a usable picture.
    """
    from pose2id.datasets.images import decode_rgb
    from pose2id.extractors.preprocess import resize
    from pose2id.features import l2_normalize

    picture = resize(decode_rgb(data), extractor.input_spec)
    feature: NDArray[np.float32] = l2_normalize(extractor(picture[None]))[0]
    return feature


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

    tiles = [Tile(query, ("query", _label(found.query_pid, None), Path(found.query_id or "").name))]
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


def _known_image(layout: Layout, params: Params, sha256: str) -> dict[str, Any]:
    """The index row with these bytes, in any split; empty when there is none."""
    columns = ["image_id", "pid", "sha256"]
    for split in params.splits:
        for row in read_table(layout.index(split), columns).to_pylist():
            if row["sha256"] == sha256:
                return dict(row)
    return {}


def _check_same_network(layout: Layout, split: str, extractor: Extractor) -> None:
    for part in sorted(layout.features(split).glob("[!.]*.parquet")):
        producer = table_schema(part).metadata[b"pose2id.producer"].decode()
        if producer != extractor.fingerprint:
            raise DataError(
                f"the features of {split!r} were made by another network ({producer[:12]}) than "
                f"params.yaml names now ({extractor.name}, {extractor.fingerprint[:12]}); run: "
                "dvc repro"
            )
