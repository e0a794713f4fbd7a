"""Ranked lists and drawings of the last run, as rows of pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image

from pose2id.errors import DataError, ParamsError
from tasks.figures.sheet import Cell, Line
from tasks.reporting.tables import Row, Tables
from tasks.reporting.variants import best_variant
from tasks.tables.params import BASE


def compared_variants(tables: Tables, wanted: Sequence[str]) -> list[str]:
    """The variants to show: those that are wanted, or `base` and the best without re-ranking.

    Raises:
        ParamsError: A wanted variant was not scored.
    """
    scored = [row["variant"] for row in tables.rows("SELECT variant FROM summary")]
    if unknown := [name for name in wanted if name not in scored]:
        raise ParamsError(f"no variant {unknown[0]!r} was scored; there are {', '.join(scored)}")
    best = best_variant(tables)
    return list(wanted) or [BASE, *([best] if best else [])]


def ranked_lines(
    tables: Tables, variants: Sequence[str], queries: Sequence[str], n_queries: int, k: int
) -> list[Line]:
    """Queries with their nearest gallery images by each variant; images that do not count are out.

    Args:
        tables: The project's tables.
        variants: Whose lists.
        queries: Image ids of queries; without any, those that gained most between the first and
            the last variant.
        n_queries: How many of those.
        k: Length of each list.

    Returns:
        A row per query and variant.

    Raises:
        DataError: A query was not scored.
    """
    chosen = list(queries) or _most_gained(tables, variants[0], variants[-1], n_queries)
    lines = []
    for query in chosen:
        for variant in variants:
            rows = tables.rows(
                """
                SELECT g.image_id, g.path, g.sha256, r.is_match, r.distance FROM rankings r
                JOIN "index" g ON g.image_id = r.gallery_id
                WHERE r.variant = ? AND r.query_id = ? AND NOT r.is_junk ORDER BY r.rank LIMIT ?
                """,
                *(variant, query, k),
            )
            if not rows:
                raise DataError(f"there is no ranked list of the query {query!r} by {variant}")
            hits = [
                Cell(_original(tables, row), f"{row['distance']:.2f}", row["is_match"])
                for row in rows
            ]
            asked = Cell(_original(tables, _image(tables, query)), "query", key=True)
            lines.append(Line(variant, (asked, *hits)))
    return lines


def pose_lines(tables: Tables, images: Sequence[str], n_images: int) -> list[Line]:
    """Images beside their drawings in every pose.

    Args:
        tables: The project's tables.
        images: Image ids; without any, some by hash: not those that look best.
        n_images: How many of those.

    Returns:
        A row per image.

    Raises:
        DataError: An image has no drawings.
    """
    chosen = list(images) or [
        row["image_id"]
        for row in tables.rows(
            """
            SELECT DISTINCT image_id, sha256(image_id || ?) AS chance FROM generated
            ORDER BY chance LIMIT ?
            """,
            *(f"/{tables.params.report.seed}", n_images),
        )
    ]
    lines = []
    for image_id in chosen:
        drawings = tables.rows(
            "SELECT pose_id, image FROM generated WHERE image_id = ? ORDER BY pose_id", image_id
        )
        if not drawings:
            raise DataError(f"there are no drawings of the image {image_id!r}")
        original = Cell(_original(tables, _image(tables, image_id)), "camera", key=True)
        drawn = [Cell(_open(row["image"]), f"pose {row['pose_id']}") for row in drawings]
        lines.append(Line("", (original, *drawn)))
    if not lines:
        raise DataError("the project has no drawings; see generate.generator")
    return lines


def _most_gained(tables: Tables, before: str, after: str, n: int) -> list[str]:
    rows = tables.rows(
        """
        SELECT query_id FROM queries b JOIN queries a USING (query_id)
        WHERE b.variant = ? AND a.variant = ? AND a.ap IS NOT NULL
        ORDER BY a.ap - b.ap DESC, query_id LIMIT ?
        """,
        *(before, after, n),
    )
    if not rows:
        raise DataError("no query was scored; name some by --query")
    return [row["query_id"] for row in rows]


def _image(tables: Tables, image_id: str) -> Row:
    rows = tables.rows('SELECT path, sha256 FROM "index" WHERE image_id = ?', image_id)
    if not rows:
        raise DataError(f"there is no image {image_id!r} in the index")
    return rows[0]


def _original(tables: Tables, row: Row) -> Image.Image | None:
    data = tables.original(row)
    return None if data is None else _open(data)


def _open(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as picture:
        return picture.convert("RGB")
