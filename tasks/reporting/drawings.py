"""Page `drawings`: an original beside the pictures generated of its person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.reporting.assets import Asset, Assets
from tasks.reporting.tables import Row, Tables
from tasks.tables.schema import ORIGINAL_POSE_ID
from tasks.tables.synthetic_mark import Mark


@dataclass(frozen=True, slots=True)
class Picture:
    """One generated picture and its verdict."""

    pose_id: int
    asset: Asset | None
    similarity: float | None
    accepted: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Original:
    """One original image, what is known of it, and its pictures in pose order."""

    image_id: str
    file_name: str
    pid: int | None
    camid: int | None
    distractor: bool
    asset: Asset | None
    why: str
    score: float | None
    accepted: bool
    reasons: tuple[str, ...]
    pictures: tuple[Picture, ...]

    @property
    def all_reasons(self) -> list[str]:
        """Every reason for which the original or one of its pictures was quarantined."""
        found = {reason for picture in self.pictures for reason in picture.reasons}
        return sorted(found | set(self.reasons))


@dataclass(frozen=True, slots=True)
class Drawings:
    """The originals chosen, and out of how many."""

    originals: list[Original]
    n_worst: int
    n_images: int
    scored: bool


def drawings_section(tables: Tables, assets: Assets) -> Drawings:
    """Chooses originals, worst first and then at random, and makes their thumbnails."""
    if not {"generated", "quality"} <= tables.views:
        return Drawings([], 0, 0, scored=False)
    n_images = tables.rows("SELECT count(DISTINCT image_id) AS n FROM generated")[0]["n"]
    chosen = _choose(tables)
    pictures = read_pictures(tables, assets, [row["image_id"] for row in chosen])
    originals = [_original(tables, assets, row, pictures[row["image_id"]]) for row in chosen]
    n_worst = sum(row["why"] == "worst" for row in chosen)
    scored = any(row["score"] is not None for row in chosen)
    return Drawings(originals, n_worst, n_images, scored)


def _choose(tables: Tables) -> list[Row]:
    """Half the places go to the lowest mean identity score, the rest to the smallest hashes."""
    wanted = tables.params.report.identities
    n_worst = (wanted + 1) // 2
    chance = f"/{tables.params.report.seed}"
    return tables.rows(
        f"""
        WITH scores AS (
            SELECT image_id,
                   avg(identity_similarity) FILTER (pose_id <> {ORIGINAL_POSE_ID}) AS score,
                   bool_and(accepted) FILTER (pose_id = {ORIGINAL_POSE_ID}) AS accepted,
                   first(reasons) FILTER (pose_id = {ORIGINAL_POSE_ID}) AS reasons
            FROM quality GROUP BY image_id
            HAVING count(*) FILTER (pose_id <> {ORIGINAL_POSE_ID}) > 0
        ),
        places AS (
            SELECT *, row_number() OVER (ORDER BY score NULLS LAST, image_id) AS place FROM scores
        )
        SELECT p.*, i.path, i.sha256, i.pid, i.camid, i.distractor,
               CASE WHEN place <= ? AND score IS NOT NULL THEN 'worst' ELSE 'random' END AS why
        FROM places p JOIN "index" i USING (image_id)
        ORDER BY why DESC, CASE WHEN why = 'worst' THEN place END, sha256(image_id || ?)
        LIMIT ?
        """,
        *(n_worst, chance, wanted),
    )


def read_pictures(
    tables: Tables, assets: Assets, image_ids: Sequence[str]
) -> dict[str, list[Picture]]:
    """The generated pictures of some images, in pose order, as marked thumbnails."""
    rows = tables.rows(
        """
        SELECT g.image_id, g.pose_id, g.image, g.key, q.identity_similarity, q.accepted, q.reasons
        FROM generated g LEFT JOIN quality q USING (image_id, pose_id)
        WHERE g.image_id IN (SELECT unnest(?::VARCHAR[])) ORDER BY g.image_id, g.pose_id
        """,
        list(image_ids),
    )
    fingerprint = ", ".join(tables.producers("generated"))
    found: dict[str, list[Picture]] = {image_id: [] for image_id in image_ids}
    for row in rows:
        mark = Mark(row["image_id"], row["pose_id"], fingerprint, row["key"])
        picture = Picture(
            pose_id=row["pose_id"],
            asset=assets.thumbnail(row["image"], mark),
            similarity=row["identity_similarity"],
            accepted=bool(row["accepted"]),
            reasons=tuple(row["reasons"] or ()),
        )
        found[row["image_id"]].append(picture)
    return found


def _original(tables: Tables, assets: Assets, row: Row, pictures: list[Picture]) -> Original:
    return Original(
        image_id=row["image_id"],
        file_name=row["path"].rpartition("/")[2],
        pid=row["pid"],
        camid=row["camid"],
        distractor=row["distractor"],
        asset=assets.thumbnail(tables.original(row)),
        why=row["why"],
        score=row["score"],
        accepted=row["accepted"] is not False,
        reasons=tuple(row["reasons"] or ()),
        pictures=tuple(pictures),
    )
