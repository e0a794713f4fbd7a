"""Section 1, results: the variants' scores, CMC, cameras and persons."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2id.steps.chain import describe
from tasks.reporting.assets import Asset, Assets
from tasks.reporting.plots import cmc_plot
from tasks.reporting.tables import Row, Tables
from tasks.reporting.variants import best_variant
from tasks.tables.params import BASE

MAX_CAMERAS = 12
MAX_CAMERA_QUERIES = 2000
MAX_CAMERA_GALLERY = 20_000
EVALUATION_MEMORY_MIB = 64
EXTREME_PERSONS = 8


@dataclass(frozen=True, slots=True)
class CameraTable:
    """mAP of queries of one camera (row) among gallery images of one camera (column).

    Attributes:
        cameras: 0-based ids, shown in rows and columns.
        cells: (query camera, gallery camera) -> mAP before, mAP after, number of queries.
        n_queries: Queries measured.
        n_gallery: Gallery images measured.
        sampled: Whether these are a sample.
    """

    cameras: list[int]
    cells: dict[tuple[int, int], tuple[float, float, int]]
    n_queries: int
    n_gallery: int
    sampled: bool

    def has_row(self, camera: int) -> bool:
        """Whether any query of this camera was measured."""
        return any(pair[0] == camera for pair in self.cells)


@dataclass(frozen=True, slots=True)
class Results:
    """What the results section shows; a `no_*` text says why a part is missing."""

    variants: list[Row]
    before: Row
    after: Row | None
    best: Row | None
    note: str | None
    cmc: Asset | None
    cmc_alt: str
    cameras: CameraTable | None
    no_cameras: str
    gained: list[Row]
    lost: list[Row]
    n_persons: int


def results_section(tables: Tables, assets: Assets) -> Results:
    """Reads the scores and draws the CMC curves."""
    summary = tables.rows("SELECT * FROM summary")
    for row in summary:
        row["words"] = describe(row["steps"])
    by_name = {row["variant"]: row for row in summary}
    name = best_variant(tables)
    after = by_name[name] if name else None
    persons = person_rows(tables, name) if name else []
    scored = [row for row in persons if row["gain"] is not None]
    cameras, no_cameras = camera_table(tables, name) if name else (None, "only base was scored")
    curves = _curves(tables)
    return Results(
        variants=summary,
        before=by_name[BASE],
        after=after,
        best=max(
            (row for row in summary if row["mAP"] is not None),
            key=lambda row: row["mAP"],
            default=None,
        ),
        note=by_name[BASE]["note"],
        cmc=assets.plot(cmc_plot(curves)) if curves else None,
        cmc_alt="CMC curves. "
        + "; ".join(f"{key}: {100 * v[0]:.1f} % at rank 1" for key, v in curves.items()),
        cameras=cameras,
        no_cameras=no_cameras,
        gained=sorted(scored, key=lambda row: -row["gain"])[:EXTREME_PERSONS],
        lost=sorted(scored, key=lambda row: row["gain"])[:EXTREME_PERSONS],
        n_persons=len(persons),
    )


def person_rows(tables: Tables, after: str) -> list[Row]:
    """Every person before and after, by pid."""
    return tables.rows(
        """
        SELECT b.pid, b.n_queries, b.n_gallery, b.mAP AS map_before, a.mAP AS map_after,
               a.mAP - b.mAP AS gain, b.id2 AS id2_before, a.id2 AS id2_after
        FROM identities b JOIN identities a USING (pid)
        WHERE b.variant = ? AND a.variant = ? ORDER BY pid
        """,
        *(BASE, after),
    )


def _curves(tables: Tables) -> dict[str, list[float]]:
    """CMC values per variant; empty where nothing could be scored."""
    curves: dict[str, list[float]] = {}
    with (tables.layout.results / "cmc.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            curves.setdefault(row["variant"], []).append(float(row["cmc"]))
    return {name: values for name, values in curves.items() if np.isfinite(values).all()}


def camera_table(tables: Tables, after: str) -> tuple[CameraTable | None, str]:
    """The mAP per pair of cameras before and after, or why there is none."""
    score = tables.params.score
    queries = _labelled(tables, score.query, MAX_CAMERA_QUERIES, distractors=False)
    gallery = _labelled(tables, score.gallery, MAX_CAMERA_GALLERY, distractors=True)
    if not queries or not gallery:
        return None, "the dataset has no camera ids or no person ids"
    everyone = [row["camid"] for row in (*queries, *gallery)]
    numbers, counts = np.unique(everyone, return_counts=True)
    cameras = sorted(numbers[np.argsort(-counts, kind="stable")][:MAX_CAMERAS].tolist())
    if len(cameras) < 2:
        return None, "the dataset has one camera"
    per_variant = [_pair_scores(tables, v, queries, gallery, cameras) for v in (BASE, after)]
    cells = {pair: (mean, per_variant[1][pair][0], n) for pair, (mean, n) in per_variant[0].items()}
    n_all = tables.rows('SELECT count(*) AS n FROM "index" WHERE split = ?', score.query)[0]["n"]
    sampled = len(queries) < n_all or len(gallery) >= MAX_CAMERA_GALLERY
    return CameraTable(cameras, cells, len(queries), len(gallery), sampled), ""


def _labelled(tables: Tables, split: str, limit: int, *, distractors: bool) -> list[Row]:
    """Images with a person and a camera; beyond the limit, those with the smallest hashes."""
    return tables.rows(
        """
        SELECT image_id, pid, camid, distractor FROM "index"
        WHERE split = ? AND pid IS NOT NULL AND camid IS NOT NULL AND (? OR NOT distractor)
        ORDER BY sha256(image_id || ?) LIMIT ?
        """,
        *(split, distractors, f"/{tables.params.report.seed}", limit),
    )


def _pair_scores(
    tables: Tables, variant: str, queries: list[Row], gallery: list[Row], cameras: list[int]
) -> dict[tuple[int, int], tuple[float, int]]:
    """(query camera, gallery camera) -> mean AP and the number of queries it is a mean of."""
    from pose2id.metrics import evaluate

    score = tables.params.score
    q, q_features = _with_features(tables, score.query, variant, queries)
    g, g_features = _with_features(tables, score.gallery, variant, gallery)
    q_pids, q_cams = _column(q, "pid"), _column(q, "camid")
    scores: dict[tuple[int, int], tuple[float, int]] = {}
    for camera in cameras:
        mine = _column(g, "camid") == camera
        pids = _column(g, "pid")[mine]
        distractors = np.array([row["distractor"] for row in g], np.bool_)[mine]
        asked = (q_cams != camera) & np.isin(q_pids, pids[~distractors])
        if not asked.any():
            continue
        found = evaluate(
            q_features[asked],
            g_features[mine],
            query_pids=q_pids[asked],
            gallery_pids=pids,
            distractors=distractors,
            protocol="trapezoidal" if score.protocol == "trapezoidal" else "none",
            top_k=0,
            memory_mib=EVALUATION_MEMORY_MIB,
        )
        for other in cameras:
            ap = found.ap[q_cams[asked] == other]
            if len(ap):
                scores[other, camera] = (float(ap.mean()), len(ap))
    return scores


def _with_features(
    tables: Tables, split: str, variant: str, rows: list[Row]
) -> tuple[list[Row], NDArray[np.float32]]:
    row_of = {row["image_id"]: row for row in rows}
    ids, features = tables.centralized(split, variant, list(row_of))
    return [row_of[image_id] for image_id in ids], features


def _column(rows: list[Row], name: str) -> NDArray[Any]:
    return np.array([row[name] for row in rows], np.int64)
