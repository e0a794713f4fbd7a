"""Page `data`: what the dataset holds, and the files that could not be used."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.reporting.tables import Row, Tables

MAX_REJECTS = 50


@dataclass(frozen=True, slots=True)
class Data:
    """What the page shows: counts per split and per camera, and rejected files."""

    splits: list[Row]
    cameras: list[Row]
    rejects: list[Row]
    n_rejects: int


def data_section(tables: Tables) -> Data:
    """Counts images, persons, cameras and rejected files."""
    return Data(
        splits=split_rows(tables),
        cameras=tables.rows(
            """
            SELECT split, camid, count(*) AS n_images,
                   count(DISTINCT pid) FILTER (NOT distractor) AS n_persons,
                   median(width_px) AS width_px, median(height_px) AS height_px
            FROM "index" WHERE camid IS NOT NULL GROUP BY split, camid ORDER BY split, camid
            """
        ),
        rejects=tables.rows("SELECT * FROM rejects ORDER BY split, path LIMIT ?", MAX_REJECTS),
        n_rejects=tables.count("rejects"),
    )


def split_rows(tables: Tables) -> list[Row]:
    """Images, persons, cameras and distractors of every split."""
    return tables.rows(
        """
        SELECT split, count(*) AS n_images, count(DISTINCT pid) AS n_persons,
               count(DISTINCT camid) AS n_cameras, count(*) FILTER (distractor) AS n_distractors
        FROM "index" GROUP BY split ORDER BY split
        """
    )
