"""Page `cameras`: from which camera to which camera people are found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.reporting.tables import Row, Tables
from tasks.tables.params import BASE

MAX_CAMERAS = 12
MAX_CAMERA_QUERIES = 2000
MAX_CAMERA_GALLERY = 20_000
EVALUATION_MEMORY_MIB = 64


@dataclass(frozen=True, slots=True)
class CameraTable:
    """mAP of queries of one camera (row) among gallery images of one camera (column).

    Attributes:
        cameras: 0-based ids, shown in rows and columns.
        cells: (query camera, gallery camera) -> mAP before, mAP after, number of queries.
        n_queries: Queries measured.
        n_gallery: Gallery images measured.
        sampled: Whether these are a sample.
        n_cameras: How many cameras there are; those with most pictures are shown.
    """

    cameras: list[int]
    cells: dict[tuple[int, int], tuple[float, float, int]]
    n_queries: int
    n_gallery: int
    sampled: bool
    n_cameras: int

    def has_row(self, camera: int) -> bool:
        """Whether any query of this camera was measured."""
        return any(pair[0] == camera for pair in self.cells)

    @property
    def hardest(self) -> tuple[int, int] | None:
        """The pair with the lowest mAP after."""
        return min(self.cells, key=lambda pair: (self.cells[pair][1], pair), default=None)


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
    return CameraTable(cameras, cells, len(queries), len(gallery), sampled, len(numbers)), ""


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
