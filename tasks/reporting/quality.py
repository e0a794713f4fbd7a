"""Page `quality`: verdicts, their reasons, the worst pictures and what was expected."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from tasks.reporting.assets import Asset, Assets
from tasks.reporting.tables import Row, Tables
from tasks.tables.schema import ORIGINAL_POSE_ID
from tasks.tables.synthetic_mark import Mark

EXAMPLES_PER_REASON = 8
MAX_EXPECTATIONS = 60
REASONS_IN_WORDS = {
    "blank": "the picture is almost one colour",
    "contradicting_labels": "the same file has two different labels",
    "duplicate_image": "the same file is there twice",
    "identity_lost": "the feature is too far from the original's",
    "invalid_camera": "the camera id is negative",
    "invalid_label": "the person id is negative",
    "nan_feature": "the feature has a value that is no number",
    "pose_lost": "the person is not in the pose asked for",
    "poses_identical": "the same as another pose of the person",
    "query_in_gallery": "the same file is a query and a gallery picture",
    "undecodable": "the bytes are not a picture",
    "wrong_format": "not the encoding that params.yaml asks for",
    "wrong_size": "not the size that was declared or asked for",
    "zero_norm": "the feature is all zeros",
}


@dataclass(frozen=True, slots=True)
class Example:
    """One quarantined picture and how to make it again; pose -1 is the original itself.

    It stands in the gallery of its first reason.
    """

    image_id: str
    pose_id: int
    reasons: tuple[str, ...]
    similarity: float | None
    asset: Asset | None
    command: str

    @property
    def kind(self) -> str:
        """Its first reason."""
        return self.reasons[0]


@dataclass(frozen=True, slots=True)
class Quality:
    """What the quality section shows; `missing` says why there is nothing."""

    missing: str
    counts: list[Row]
    reasons: list[Row]
    examples: list[Example]
    n_quarantined: int
    expectations: list[Row]
    n_expectations: int
    n_failed: int
    poses: list[Row]


def quality_section(tables: Tables, assets: Assets) -> Quality:
    """Counts verdicts and reasons and shows the worst."""
    if "quality" not in tables.views:
        return Quality("the quality gates have not run", [], [], [], 0, [], 0, 0, [])
    counts = tables.rows(
        f"""
        SELECT split, pose_id = {ORIGINAL_POSE_ID} AS original, count(*) AS n,
               count(*) FILTER (NOT accepted) AS n_quarantined
        FROM quality GROUP BY ALL ORDER BY split, original DESC
        """
    )
    reasons = tables.rows(
        """
        SELECT reason, split, count(*) AS n
        FROM (SELECT split, unnest(reasons) AS reason FROM quality WHERE NOT accepted)
        GROUP BY ALL ORDER BY n DESC, reason, split
        """
    )
    totals = tables.rows(
        "SELECT count(*) AS n, count(*) FILTER (NOT success) AS n_failed FROM expectations"
    )[0]
    return Quality(
        missing="",
        counts=counts,
        reasons=reasons,
        examples=_examples(tables, assets),
        n_quarantined=sum(row["n_quarantined"] for row in counts),
        expectations=expectations_shown(tables),
        n_expectations=totals["n"],
        n_failed=totals["n_failed"],
        poses=tables.rows(
            """
            SELECT pose_id, count(*) AS n, avg(pose_pck) AS mean,
                   quantile_cont(pose_pck, 0.05) AS low
            FROM quality WHERE pose_pck IS NOT NULL GROUP BY pose_id ORDER BY pose_id
            """
        ),
    )


def expectations_shown(tables: Tables) -> list[Row]:
    """The expectations, failed ones first, in an order that leaves no two of them to chance."""
    return tables.rows(
        """
        SELECT suite, split, expectation, "column", code, severity, success, n_checked, n_unexpected
        FROM expectations
        ORDER BY success, n_unexpected DESC, split, suite, expectation, "column",
                 code, severity, n_checked
        LIMIT ?
        """,
        MAX_EXPECTATIONS,
    )


def _examples(tables: Tables, assets: Assets) -> list[Example]:
    """The worst quarantined rows of each first reason: the lowest identity score first."""
    rows = tables.rows(
        """
        WITH worst AS (
            SELECT image_id, pose_id, reasons, identity_similarity FROM quality WHERE NOT accepted
            QUALIFY row_number() OVER (
                PARTITION BY reasons[1]
                ORDER BY identity_similarity NULLS LAST, image_id, pose_id
            ) <= ?
        ),
        drawn AS (
            SELECT image_id, pose_id, image, key FROM generated
            WHERE image_id IN (SELECT image_id FROM worst)
        )
        SELECT w.*, g.image, g.key, i.path, i.sha256
        FROM worst w JOIN "index" i USING (image_id) LEFT JOIN drawn g USING (image_id, pose_id)
        ORDER BY w.reasons[1], identity_similarity NULLS LAST, image_id, pose_id
        """,
        EXAMPLES_PER_REASON,
    )
    fingerprint = ", ".join(tables.producers("generated"))
    return [
        Example(
            image_id=row["image_id"],
            pose_id=row["pose_id"],
            reasons=tuple(row["reasons"]),
            similarity=row["identity_similarity"],
            asset=_thumbnail(tables, assets, row, fingerprint),
            command=f"pose2id cache remake {shlex.quote(row['image_id'])}",
        )
        for row in rows
    ]


def _thumbnail(tables: Tables, assets: Assets, row: Row, fingerprint: str) -> Asset | None:
    if row["pose_id"] == ORIGINAL_POSE_ID:
        return assets.thumbnail(tables.original(row))
    if row["image"] is None:
        return None
    mark = Mark(row["image_id"], row["pose_id"], fingerprint, row["key"])
    return assets.thumbnail(row["image"], mark)
