"""Page `people`: distances within and between persons, ID2, and a map of the features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.reporting.assets import Asset, Assets
from tasks.reporting.people import person_rows
from tasks.reporting.plots import density_plot, distance_plot, map_plot
from tasks.reporting.tables import Row, Tables
from tasks.reporting.variants import best_variant
from tasks.tables.params import BASE

MAX_MAP_PERSONS = 40
MIN_MAP_POINTS = 12


@dataclass(frozen=True, slots=True)
class Separation:
    """How far apart the distances within and between persons are, for one variant.

    Attributes:
        variant: Its name.
        within: Median distance of two images of one person.
        between: Median distance of images of two persons.
        confused: Share of pairs of different persons nearer than `within`.
    """

    variant: str
    within: float
    between: float
    confused: float


@dataclass(frozen=True, slots=True)
class Space:
    """What the feature space section shows; `missing` says why there is nothing."""

    missing: str
    separations: list[Separation]
    distances: Asset | None
    density: Asset | None
    n_denser: int
    n_density: int
    map: Asset | None
    n_images: int
    n_persons: int
    n_map_images: int
    n_map_persons: int


def space_section(tables: Tables, assets: Assets) -> Space:
    """Measures a sample of whole persons before and after, and draws it.

    On one thread: sums over threads come in any order, and the map must not depend on that.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1):
        return _measure(tables, assets)


def _measure(tables: Tables, assets: Assets) -> Space:
    after = best_variant(tables)
    if after is None:
        return _nothing("only base was scored")
    sample = sample_persons(tables)
    if not sample:
        return _nothing("no person has two images with a label")
    features: dict[str, NDArray[np.float32]] = {}
    persons = np.empty(0, np.int64)
    for variant in (BASE, after):
        features[variant], persons = _features(tables, variant, sample)
    pairs = {name: _distances(rows, persons) for name, rows in features.items()}
    if not all(len(within) and len(between) for within, between in pairs.values()):
        return _nothing("too few images of the sampled persons passed the quality gates")
    in_map = persons < MAX_MAP_PERSONS
    maps = {name: project(rows[in_map]) for name, rows in features.items()}
    drawn = int(in_map.sum()) >= MIN_MAP_POINTS
    both = [(row["id2_before"], row["id2_after"]) for row in person_rows(tables, after)]
    known = np.array([pair for pair in both if None not in pair], np.float64).reshape(-1, 2)
    shown = known[: tables.params.report.map_points]
    return Space(
        missing="",
        separations=[_separation(name, *pair) for name, pair in pairs.items()],
        distances=assets.plot(distance_plot(pairs)),
        density=assets.plot(density_plot(shown[:, 0], shown[:, 1], after)) if len(known) else None,
        n_denser=int((known[:, 1] < known[:, 0]).sum()),
        n_density=len(known),
        map=assets.plot(map_plot(maps, persons[in_map])) if drawn else None,
        n_images=len(persons),
        n_persons=len(np.unique(persons)),
        n_map_images=int(in_map.sum()),
        n_map_persons=len(np.unique(persons[in_map])),
    )


def _nothing(why: str) -> Space:
    return Space(why, [], None, None, 0, 0, None, 0, 0, 0, 0)


def sample_persons(tables: Tables) -> list[Row]:
    """Images of whole persons with at least two, in hash order, up to `report.map_points`."""
    score = tables.params.score
    return tables.rows(
        """
        WITH persons AS (
            SELECT pid, count(*) AS n, sha256(pid || ?) AS chance FROM "index"
            WHERE pid IS NOT NULL AND NOT distractor AND split IN (?, ?)
            GROUP BY pid HAVING n > 1
        ),
        chosen AS (
            SELECT pid, row_number() OVER (ORDER BY chance) - 1 AS number,
                   sum(n) OVER (ORDER BY chance ROWS UNBOUNDED PRECEDING) AS total FROM persons
        )
        SELECT image_id, split, number, pid, camid FROM "index" JOIN chosen USING (pid)
        WHERE total <= ? AND NOT distractor AND split IN (?, ?) ORDER BY number, image_id
        """,
        *(f"/{tables.params.report.seed}", score.query, score.gallery),
        *(tables.params.report.map_points, score.query, score.gallery),
    )


def _features(
    tables: Tables, variant: str, sample: list[Row]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features `(N, D)` and person numbers `(N,)` of the sample, in a fixed order."""
    number_of = {row["image_id"]: row["number"] for row in sample}
    ids: list[str] = []
    parts: list[NDArray[np.float32]] = []
    for split in sorted({row["split"] for row in sample}):
        found, rows = tables.centralized(split, variant, list(number_of))
        ids += found
        parts.append(rows)
    return np.concatenate(parts), np.array([number_of[image_id] for image_id in ids], np.int64)


def _distances(
    features: NDArray[np.float32], persons: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Euclidean distances of all pairs within one person and between persons."""
    squared = 2 - 2 * np.clip(features @ features.T, -1, 1)
    left, right = np.triu_indices(len(features), 1)
    distances = np.sqrt(squared[left, right])
    same = persons[left] == persons[right]
    return distances[same], distances[~same]


def _separation(
    variant: str, within: NDArray[np.float32], between: NDArray[np.float32]
) -> Separation:
    typical = float(np.median(within))
    return Separation(
        variant, typical, float(np.median(between)), float((between < typical).mean())
    )


def project(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first two principal components `(N, 2)` of features `(N, D)`.

    The sign of a component is free; here its largest weight is positive.

    >>> project(np.array([[0.0, 0.0], [3.0, 0.0], [6.0, 1.0]], np.float32)).shape
    (3, 2)
    """
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    if len(centred) < centred.shape[1]:  # the smaller of the two products has the same values
        axes = centred.T @ np.linalg.eigh(centred @ centred.T).eigenvectors[:, :-3:-1]
        axes /= np.maximum(np.linalg.norm(axes, axis=0), 1e-12)
    else:
        axes = np.linalg.eigh(centred.T @ centred).eigenvectors[:, :-3:-1]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    points: NDArray[np.float32] = (centred @ (axes * np.sign(largest))).astype(np.float32)
    return points.round(6)
