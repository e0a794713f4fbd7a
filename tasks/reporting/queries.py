"""Page `queries`: every query, its AP by every variant, and its ranked lists.

The page is empty; it loads what it shows from scripts in `queries/`: `list-N.js` with the scores of
5000 queries each, and `lists-N.js` with the ranked lists of 100 queries, when they are asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tasks.reporting.assets import Asset, Assets
from tasks.reporting.drawings import Picture, read_pictures
from tasks.reporting.pages import script_data
from tasks.reporting.tables import Row, Tables
from tasks.reporting.variants import best_variant
from tasks.tables.params import BASE

TOP = 10
QUERIES_PER_LIST = 5000
QUERIES_PER_CHUNK = 100
FETCH_ROWS = 10_000
T = TypeVar("T")
WRONG, RIGHT, JUNK, UNKNOWN = range(4)  # as report.js numbers verdicts


@dataclass(frozen=True, slots=True)
class Explorer:
    """What the page tells `report.js`, and how much of it there is."""

    settings: dict[str, Any]
    n_queries: int
    n_pictured: int
    n_drawn: int


def write_queries(tables: Tables, assets: Assets, folder: Path) -> Explorer:
    """Writes the scripts with all queries and their ranked lists.

    Args:
        tables: The project's tables.
        assets: Where thumbnails go.
        folder: Where the scripts go; it is made.

    Returns:
        What the page needs to load them.
    """
    folder.mkdir()
    after = best_variant(tables)
    variants = [row["variant"] for row in tables.rows("SELECT variant FROM summary")]
    queries = _scores(tables, variants)
    for number, part in enumerate(_parts(queries, QUERIES_PER_LIST)):
        _write(folder / f"list-{number}.js", "list", number, _columns(part))
    pictured = _pictured(tables, after)
    thumbnails = _Thumbnails(tables, assets, pictured)
    ids = [row["query_id"] for row in queries]
    lists = _lists(tables, variants)
    pending = next(lists, None)
    for number, chunk in enumerate(_parts(ids, QUERIES_PER_CHUNK)):
        images = _Images(thumbnails)
        chunk_lists = []
        for query_id in chunk:
            rows: list[Row] = []
            if pending is not None and pending[0] == query_id:
                rows = pending[1]
                pending = next(lists, None)
            chunk_lists.append(images.lists_of(query_id, rows, variants))
        _write(folder / f"lists-{number}.js", "lists", number, images.as_data(chunk_lists))
    settings = {
        "variants": variants,
        "before": BASE,
        "after": after or BASE,
        "lists": -(-len(ids) // QUERIES_PER_LIST),
        "perChunk": QUERIES_PER_CHUNK,
        "top": TOP,
    }
    return Explorer(settings, len(ids), len(pictured), thumbnails.n_drawn)


def _scores(tables: Tables, variants: list[str]) -> list[Row]:
    """Every query by id, with AP and rank of the first right answer, a value per variant."""
    rows = tables.rows(
        """
        SELECT q.query_id, any_value(i.pid) AS pid, any_value(i.camid) AS camid,
               map(list(q.variant), list(q.ap)) AS ap,
               map(list(q.variant), list(q.first_hit_rank)) AS first
        FROM queries q JOIN "index" i ON i.image_id = q.query_id
        GROUP BY q.query_id ORDER BY q.query_id
        """
    )
    for row in rows:
        row["ap"] = [_rounded(row["ap"].get(name)) for name in variants]
        row["first"] = [row["first"].get(name) for name in variants]
    return rows


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _columns(rows: list[Row]) -> dict[str, list[Any]]:
    names = {"id": "query_id", "person": "pid", "camera": "camid", "ap": "ap", "first": "first"}
    return {short: [row[name] for row in rows] for short, name in names.items()}


def _pictured(tables: Tables, after: str | None) -> list[Row]:
    """The queries with pictures: those that gained and lost most, in turn, then by chance."""
    return tables.rows(
        """
        WITH pairs AS (
            SELECT b.query_id, a.ap - b.ap AS gain
            FROM queries b LEFT JOIN queries a ON a.query_id = b.query_id AND a.variant = ?
            WHERE b.variant = ?
        ),
        places AS (
            SELECT *, row_number() OVER (ORDER BY gain DESC NULLS LAST, query_id) AS from_top,
                   row_number() OVER (ORDER BY gain ASC NULLS LAST, query_id) AS from_bottom
            FROM pairs
        )
        SELECT query_id, i.path, i.sha256
        FROM places JOIN "index" i ON i.image_id = query_id
        ORDER BY CASE WHEN gain > 0 THEN from_top WHEN gain < 0 THEN from_bottom ELSE 1e9 END,
                 sha256(query_id || ?), query_id
        LIMIT ?
        """,
        *(after, BASE, f"/{tables.params.report.seed}", tables.params.report.ranked_queries),
    )


def _lists(tables: Tables, variants: list[str]) -> Iterator[tuple[str, list[Row]]]:
    """The first ranks of every query with its id, in order of id; never all at once."""
    rows = tables.stream(
        """
        SELECT r.query_id, r.variant, r.gallery_id, r.distance, r.is_match, r.is_junk,
               i.pid, i.camid, i.path, i.sha256, q.ap IS NOT NULL AS is_scored
        FROM rankings r JOIN "index" i ON i.image_id = r.gallery_id
        JOIN queries q ON q.query_id = r.query_id AND q.variant = r.variant
        WHERE r.rank <= ? AND r.variant IN (SELECT unnest(?::VARCHAR[]))
        ORDER BY r.query_id, r.variant, r.rank
        """,
        *(TOP, variants),
        n_rows=FETCH_ROWS,
    )
    for query_id, group in itertools.groupby(rows, key=lambda row: str(row["query_id"])):
        yield query_id, list(group)


class _Thumbnails:
    """Pictures of the pictured queries, their drawings and their hits, each made once."""

    def __init__(self, tables: Tables, assets: Assets, pictured: list[Row]) -> None:
        self._tables, self._assets = tables, assets
        self._made: dict[str, Asset | None] = {}
        self._rows = {row["query_id"]: row for row in pictured}
        self._drawings: dict[str, list[Picture]] = {}
        if {"generated", "quality"} <= tables.views:
            self._drawings = read_pictures(tables, assets, list(self._rows))
        self.n_drawn = sum(bool(pictures) for pictures in self._drawings.values())

    def query(self, query_id: str) -> str | None:
        """The thumbnail of a query; None where it has none."""
        return self._of(query_id, self._rows[query_id]) if query_id in self._rows else None

    def hit(self, query_id: str, row: Row) -> str | None:
        """The thumbnail of an answer to a query; None where the query is not pictured."""
        return self._of(row["gallery_id"], row) if query_id in self._rows else None

    def drawings(self, image_id: str) -> list[list[Any]]:
        """Thumbnail, pose, identity score and verdict of an image's drawings."""
        return [
            [
                picture.asset.name if picture.asset else None,
                picture.pose_id,
                _rounded(picture.similarity),
                int(picture.accepted),
            ]
            for picture in self._drawings.get(image_id, [])
        ]

    def _of(self, image_id: str, row: Row) -> str | None:
        if image_id not in self._made:
            self._made[image_id] = self._assets.thumbnail(self._tables.original(row))
        made = self._made[image_id]
        return made.name if made else None


class _Images:
    """The images that a chunk's lists name, each once, by number."""

    def __init__(self, thumbnails: _Thumbnails) -> None:
        self._thumbnails = thumbnails
        self._number_of: dict[str, int] = {}
        self._images: list[list[Any]] = []  # id, person, camera, thumbnail

    def lists_of(self, query_id: str, rows: list[Row], variants: list[str]) -> dict[str, Any]:
        """A query's picture, drawings and, per variant, image, distance and verdict of each hit."""
        hits: dict[str, list[Any]] = {name: [] for name in variants}
        for row in rows:
            hits[row["variant"]] += [
                self._number(query_id, row),
                round(row["distance"], 4),
                _verdict(row),
            ]
        return {
            "picture": self._thumbnails.query(query_id),
            "drawings": self._thumbnails.drawings(query_id),
            "hits": list(hits.values()),
        }

    def as_data(self, lists: list[dict[str, Any]]) -> dict[str, Any]:
        """The chunk."""
        return {"images": self._images, "queries": lists}

    def _number(self, query_id: str, row: Row) -> int:
        image_id = row["gallery_id"]
        thumbnail = self._thumbnails.hit(query_id, row)
        if image_id not in self._number_of:
            self._number_of[image_id] = len(self._images)
            self._images.append([image_id, row["pid"], row["camid"], thumbnail])
        elif thumbnail:  # an earlier query of the chunk has no pictures
            self._images[self._number_of[image_id]][3] = thumbnail
        return self._number_of[image_id]


def _verdict(row: Row) -> int:
    if row["is_junk"]:
        return JUNK
    if row["is_match"]:
        return RIGHT
    return WRONG if row["is_scored"] else UNKNOWN


def _parts(items: list[T], size: int) -> Iterator[list[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _write(path: Path, kind: str, number: int, value: object) -> None:
    path.write_text(script_data(kind, number, value), encoding="utf-8")
