"""Section 3, ranked lists: the nearest gallery images of a query before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tasks.reporting.assets import Asset, Assets
from tasks.reporting.tables import Row, Tables
from tasks.reporting.variants import best_variant
from tasks.tables.params import BASE

TOP = 10
Verdict = Literal["right", "wrong", "junk", "unknown"]


@dataclass(frozen=True, slots=True)
class Hit:
    """One place of a ranked list."""

    rank: int
    image_id: str
    file_name: str
    pid: int | None
    camid: int | None
    distance: float
    verdict: Verdict
    asset: Asset | None


@dataclass(frozen=True, slots=True)
class RankedQuery:
    """One query with its lists; `why` is gained, lost or random."""

    number: int
    image_id: str
    file_name: str
    pid: int | None
    camid: int | None
    asset: Asset | None
    why: str
    ap_before: float | None
    ap_after: float | None
    gain: float | None
    lists: tuple[tuple[str, tuple[Hit, ...]], ...]


@dataclass(frozen=True, slots=True)
class Ranked:
    """The queries chosen, and out of how many."""

    queries: list[RankedQuery]
    n_gained: int
    n_lost: int
    n_queries: int
    before: str
    after: str | None


def ranked_section(tables: Tables, assets: Assets) -> Ranked:
    """Chooses the queries that gained and lost most and reads their lists."""
    after = best_variant(tables)
    chosen = _choose(tables, after)
    ids = [row["query_id"] for row in chosen]
    lists = {name: _lists(tables, assets, name, ids) for name in (BASE, after) if name}
    n_queries = tables.rows("SELECT count(DISTINCT query_id) AS n FROM queries")[0]["n"]
    queries = [
        RankedQuery(
            number=number,
            image_id=row["query_id"],
            file_name=row["path"].rpartition("/")[2],
            pid=row["pid"],
            camid=row["camid"],
            asset=assets.thumbnail(tables.original(row)),
            why=row["why"],
            ap_before=row["ap_before"],
            ap_after=row["ap_after"],
            gain=row["gain"],
            lists=tuple((name, tuple(of[row["query_id"]])) for name, of in lists.items()),
        )
        for number, row in enumerate(chosen, start=1)
    ]
    n_gained, n_lost = (sum(row["why"] == why for row in chosen) for why in ("gained", "lost"))
    return Ranked(queries, n_gained, n_lost, n_queries, BASE, after)


def _choose(tables: Tables, after: str | None) -> list[Row]:
    """Up to half the places for the largest gains, as many for the largest losses, then chance.

    Chance fills the places that no gain or loss asks for: without labels, all of them.
    """
    wanted = tables.params.report.ranked_queries
    return tables.rows(
        """
        WITH pairs AS (
            SELECT b.query_id, b.ap AS ap_before, a.ap AS ap_after, a.ap - b.ap AS gain
            FROM queries b LEFT JOIN queries a ON a.query_id = b.query_id AND a.variant = ?
            WHERE b.variant = ?
        ),
        places AS (
            SELECT *, row_number() OVER (ORDER BY gain DESC NULLS LAST, query_id) AS from_top,
                   row_number() OVER (ORDER BY gain ASC NULLS LAST, query_id) AS from_bottom
            FROM pairs
        ),
        reasons AS (
            SELECT *, CASE WHEN gain > 0 AND from_top <= ? THEN 'gained'
                           WHEN gain < 0 AND from_bottom <= ? THEN 'lost'
                           ELSE 'random' END AS why
            FROM places
        )
        SELECT r.*, i.path, i.sha256, i.pid, i.camid
        FROM reasons r JOIN "index" i ON i.image_id = r.query_id
        ORDER BY CASE why WHEN 'gained' THEN from_top WHEN 'lost' THEN 1e9 + from_bottom
                 ELSE 2e9 END, sha256(query_id || ?)
        LIMIT ?
        """,
        *(after, BASE, (wanted + 1) // 2, wanted // 2, f"/{tables.params.report.seed}", wanted),
    )


def _lists(
    tables: Tables, assets: Assets, variant: str, query_ids: list[str]
) -> dict[str, list[Hit]]:
    rows = tables.rows(
        """
        SELECT r.query_id, r.rank, r.gallery_id, r.distance, r.is_match, r.is_junk,
               i.path, i.sha256, i.pid, i.camid, q.ap IS NOT NULL AS is_scored
        FROM rankings r JOIN "index" i ON i.image_id = r.gallery_id
        JOIN queries q ON q.query_id = r.query_id AND q.variant = r.variant
        WHERE r.variant = ? AND r.rank <= ? AND r.query_id IN (SELECT unnest(?::VARCHAR[]))
        ORDER BY r.query_id, r.rank
        """,
        *(variant, TOP, query_ids),
    )
    found: dict[str, list[Hit]] = {query_id: [] for query_id in query_ids}
    for row in rows:
        hit = Hit(
            rank=row["rank"],
            image_id=row["gallery_id"],
            file_name=row["path"].rpartition("/")[2],
            pid=row["pid"],
            camid=row["camid"],
            distance=row["distance"],
            verdict=_verdict(row),
            asset=assets.thumbnail(tables.original(row)),
        )
        found[row["query_id"]].append(hit)
    return found


def _verdict(row: Row) -> Verdict:
    if row["is_junk"]:
        return "junk"
    if row["is_match"]:
        return "right"
    return "wrong" if row["is_scored"] else "unknown"
