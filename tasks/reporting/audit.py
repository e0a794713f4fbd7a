"""Page `quality`: a gallery of each kind of doubtful label and of near duplicates, worst first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasks.reporting.assets import Asset, Assets
from tasks.reporting.tables import Row, Tables

CASES_PER_KIND = 12
IMAGES_PER_CASE = 6
KINDS = {  # kind -> heading, what it means
    "wrong_person": (
        "Images of another person",
        "The neighbours of the image name another id more often than its own, and as often as they "
        "name that id for its own images.",
    ),
    "same_person": (
        "One person under two ids",
        "Most images of either id have one of the other among their mutual neighbours.",
    ),
    "two_persons": (
        "Two persons under one id",
        "The images of the id fall into two parts; seen from either, strangers lie nearer than the "
        "other part.",
    ),
    "between_splits": (
        "Near duplicates between splits",
        "Nearly the same picture on both sides: what is trained on or asked with is found again "
        "without recognising anybody.",
    ),
    "within_split": (
        "Near duplicates within a split",
        "Nearly the same picture twice, often the next frame of a video.",
    ),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a case and what is written under it."""

    image_id: str
    pid: int | None
    camid: int | None
    asset: Asset | None


@dataclass(frozen=True, slots=True)
class Case:
    """Something to look at.

    Attributes:
        pictures: What is in doubt.
        n_more: How many more there are.
        against: The picture that speaks against them.
        labelled: Of a single image, another one of the same id; None where there is none.
        why: In words.
    """

    pictures: tuple[Picture, ...]
    n_more: int
    against: Picture
    labelled: Picture | None
    why: str


@dataclass(frozen=True, slots=True)
class Issue:
    """One kind of issue: its heading, what it means, how often it was found, the worst cases."""

    title: str
    meaning: str
    n: int
    cases: tuple[Case, ...]

    @property
    def single(self) -> bool:
        """Whether each case is about one image, so that several fit beside each other."""
        return all(len(case.pictures) == 1 for case in self.cases)


def audit_section(tables: Tables, assets: Assets) -> list[Issue]:
    """Every kind of issue, also those that were not found; empty before the audit has run."""
    if "label_errors" not in tables.views:
        return []
    found = []
    for kind, (title, meaning) in KINDS.items():
        copies = kind in ("between_splits", "within_split")
        rows, n = _copies(tables, kind) if copies else _doubts(tables, kind)
        if kind == "wrong_person":
            rows = [{**row, "labelled": _labelled(tables, row)} for row in rows]
        images = _images(tables, [image_id for row in rows for image_id in _ids(row)])
        cases = tuple(_case(tables, assets, kind, row, images) for row in rows)
        found.append(Issue(title, meaning, n, cases))
    return found


def _doubts(tables: Tables, kind: str) -> tuple[list[Row], int]:
    """The worst cases of a kind: images that are doubted for the same reason are one."""
    # An image of another person is a case of its own, an id is one with all its images.
    case = "pid, other_pid, other_id, score" + (", image_id" if kind == "wrong_person" else "")
    sql = f"""
        SELECT pid, other_pid, other_id, score, count(*) AS n,
               list(image_id ORDER BY image_id)[:{IMAGES_PER_CASE}] AS image_ids
        FROM label_errors WHERE kind = ? GROUP BY {case}
    """
    (count,) = tables.rows(f"SELECT count(*) AS n FROM ({sql})", kind)
    order = "ORDER BY score DESC, pid, image_ids LIMIT ?"
    return tables.rows(f"{sql} {order}", kind, CASES_PER_KIND), count["n"]


def _copies(tables: Tables, kind: str) -> tuple[list[Row], int]:
    """The worst pairs: other labels before the same ones, then the most alike."""
    between = kind == "between_splits"
    (count,) = tables.rows(
        "SELECT count(*) AS n FROM near_duplicates WHERE between_splits = ?", between
    )
    rows = tables.rows(
        """
        SELECT d.other_id, d.similarity AS score, 1 AS n, [d.image_id] AS image_ids
        FROM near_duplicates d
        JOIN "index" a ON a.image_id = d.image_id JOIN "index" b ON b.image_id = d.other_id
        WHERE d.between_splits = ?
        ORDER BY a.pid IS NOT DISTINCT FROM b.pid, d.similarity DESC, d.image_id, d.other_id LIMIT ?
        """,
        *(between, CASES_PER_KIND),
    )
    return rows, count["n"]


def _labelled(tables: Tables, row: Row) -> str | None:
    """Another image of the id and the split of an image in doubt, of the same camera if it can be.

    That is what the image should look like if its label were right.
    """
    found = tables.rows(
        """
        SELECT i.image_id FROM "index" i JOIN "index" own ON own.image_id = ?
        WHERE i.pid = own.pid AND i.split = own.split AND i.image_id <> own.image_id
        ORDER BY i.camid IS DISTINCT FROM own.camid, i.image_id LIMIT 1
        """,
        row["image_ids"][0],
    )
    return found[0]["image_id"] if found else None


def _ids(case: Row) -> list[str]:
    more = case.get("labelled")
    return [*case["image_ids"], case["other_id"], *([more] if more else [])]


def _images(tables: Tables, ids: list[str]) -> dict[str, Row]:
    rows = tables.rows(
        'SELECT image_id, path, sha256, pid, camid FROM "index" '
        "WHERE list_contains(?, image_id) ORDER BY image_id",
        ids,
    )
    return {row["image_id"]: row for row in rows}


def _case(tables: Tables, assets: Assets, kind: str, row: Row, images: dict[str, Row]) -> Case:
    def picture(image_id: str) -> Picture:
        image = images[image_id]
        asset = assets.thumbnail(tables.original(image))
        return Picture(image_id, image["pid"], image["camid"], asset)

    shown = tuple(picture(image_id) for image_id in row["image_ids"])
    labelled = picture(row["labelled"]) if row.get("labelled") else None
    n_more = row["n"] - len(shown)
    return Case(shown, n_more, picture(row["other_id"]), labelled, _why(kind, row))


def _why(kind: str, row: dict[str, Any]) -> str:
    """A case in words.

    >>> _why("wrong_person", {"pid": 3, "other_pid": 8, "score": 0.5})
    'labelled person 3, looks like person 8: 50 more of 100 votes'
    >>> _why("between_splits", {"score": 0.991})
    'alike by 0.991'
    """
    score = row["score"]
    if kind == "wrong_person":
        more = round(100 * score)
        return (
            f"labelled person {row['pid']}, looks like person {row['other_pid']}: "
            f"{more} more of 100 votes"
        )
    if kind == "same_person":
        return f"person {row['pid']} looks like person {row['other_pid']}: score {score:.2f}"
    if kind == "two_persons":
        nearer = round(100 * score)
        return f"person {row['pid']} looks like two: {nearer} % of all others lie nearer"
    return f"alike by {score:.3f}"
