"""The map of features as data for the page `people`: every variant, each point with its image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasks.reporting.assets import Assets
from tasks.reporting.pages import script_data
from tasks.reporting.space import MAX_MAP_PERSONS, MIN_MAP_POINTS, project, sample_persons
from tasks.reporting.tables import Row, Tables

SIDE = 1000  # positions are whole numbers from 0 to this
MAX_VARIANTS = 8
FILE = "map.js"  # in the folder of assets; the page names it by `has_map`


def write_feature_map(tables: Tables, assets: Assets) -> bool:
    """Writes the script that hands the map to `report.js`.

    The same sample of whole persons as in the section on distances, one map for each variant with
    features of its own. On one thread, as there.

    Returns:
        Whether there is enough to draw a map.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    sample = [row for row in sample_persons(tables) if row["number"] < MAX_MAP_PERSONS]
    if len(sample) < MIN_MAP_POINTS:
        return False
    with threadpool_limits(1):
        variants = list(tables.params.feature_variants())[:MAX_VARIANTS]
        found = {variant: _features(tables, variant, sample) for variant in variants}
        ids = next(iter(found.values()))[0]
        if len(ids) < MIN_MAP_POINTS:
            return False
        maps = {variant: _whole(project(rows)) for variant, (_, rows) in found.items()}
    labels = {row["image_id"]: row for row in sample}
    images = [[name, labels[name]["pid"], labels[name]["camid"]] for name in ids]
    script = script_data("map", 0, {"variants": maps, "images": images, "side": SIDE})
    (assets.folder / FILE).write_text(script, encoding="utf-8")
    return True


def _features(
    tables: Tables, variant: str, sample: list[Row]
) -> tuple[list[str], NDArray[np.float32]]:
    """Image ids and features of the sample, in an order that is the same for all variants."""
    ids: list[str] = []
    parts: list[NDArray[np.float32]] = []
    for split in sorted({row["split"] for row in sample}):
        mine = [row["image_id"] for row in sample if row["split"] == split]
        found, rows = tables.centralized(split, variant, mine)
        ids += found
        parts.append(rows)
    return ids, np.concatenate(parts)


def _whole(points: NDArray[np.float32]) -> list[int]:
    """Positions as x, y, x, y, ...: both directions by one measure, in the middle of the square.

    >>> _whole(np.array([[0, 0], [2, 1]], np.float32))
    [0, 750, 1000, 250]
    """
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - (low + high) / 2) / max(float((high - low).max()), 1e-9)
    square = np.stack([0.5 + scaled[:, 0], 0.5 - scaled[:, 1]], axis=1)  # SVG counts downwards
    flat: list[int] = (SIDE * square).round().astype(int).reshape(-1).tolist()
    return flat
