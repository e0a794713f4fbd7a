"""What features are worth, without a project: base, centralized, camera-normalized, re-ranked."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pose2id.centralize import l2_normalize, nfc
from pose2id.distances import DistanceSource, FeatureDistances
from pose2id.errors import DataError, ParamsError
from pose2id.feature_files import FeatureFile, in_order
from pose2id.metrics import Evaluation, Protocol, evaluate
from pose2id.rerank import k_reciprocal

Variant = Literal["base", "nfc", "camera", "nfc_rerank"]
VARIANTS: Final[tuple[Variant, ...]] = get_args(Variant)
UNKNOWN: Final = -1
_SETS: Final = ("query", "gallery")
_COLUMNS: Final = {
    "set": ("set", "split"),
    "id": ("id", "image_id"),
    "pid": ("pid", "person"),
    "camid": ("camid", "camera"),
    "distractor": ("distractor",),
}


@dataclass(frozen=True, slots=True)
class Side:
    """Features of query or gallery with their labels.

    Attributes:
        features: `(N, D) float32`, raw.
        pids: `(N,) int64`, -1 = unknown.
        camids: `(N,) int64`, -1 = unknown.
        distractors: `(N,) bool`.
    """

    features: NDArray[np.float32]
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]
    distractors: NDArray[np.bool_]


def score_features(
    query: Side,
    gallery: Side,
    variants: tuple[Variant, ...] = VARIANTS,
    *,
    protocol: Protocol = "market",
    k1: int = 2,
    k2: int = 2,
    rerank: tuple[int, int, float] = (20, 6, 0.3),
) -> Iterator[tuple[Variant, Evaluation]]:
    """Scores features as they are and after what needs no training.

    One variant at a time is in memory. Query and gallery are centralized separately.

    Args:
        query: The queries.
        gallery: The gallery.
        variants: `base`; `nfc`; `camera`: each camera's mean and spread taken out, statistics of
            the gallery alone; `nfc_rerank`: `nfc`, then k-reciprocal re-ranking.
        protocol: As in `pose2id.metrics.evaluate`.
        k1: Of NFC.
        k2: Of NFC.
        rerank: k1, k2 and lambda of re-ranking.

    Yields:
        The name of each variant and its scores.

    Raises:
        DataError: The features or labels do not go together.
        ParamsError: A number out of range.
    """
    for variant in variants:
        q, g = _features(query, gallery, variant, k1, k2)
        distances: DistanceSource
        if variant == "nfc_rerank":
            distances = k_reciprocal(q, g, *rerank)
        else:
            distances = FeatureDistances(q, g)
        del q, g
        yield (
            variant,
            evaluate(
                distances,
                query_pids=query.pids,
                gallery_pids=gallery.pids,
                query_camids=query.camids,
                gallery_camids=gallery.camids,
                distractors=gallery.distractors,
                protocol=protocol,
                top_k=0,
            ),
        )


def _features(
    query: Side, gallery: Side, variant: Variant, k1: int, k2: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if variant == "camera":
        return camera_normalize(query, gallery)
    if variant == "base":
        return l2_normalize(query.features), l2_normalize(gallery.features)
    return nfc(query.features, k1, k2), nfc(gallery.features, k1, k2)


def camera_normalize(
    query: Side, gallery: Side, rows_at_once: int = 16384
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Takes each camera's mean and spread out of the features, then normalises their length.

    The statistics are those of the gallery alone; a camera that the gallery lacks gets those of
    the whole gallery.

    Args:
        query: The queries.
        gallery: The gallery.
        rows_at_once: Rows in float64 at a time.

    Returns:
        `(Q, D)` and `(G, D) float32`, rows of norm 1.
    """
    dim = gallery.features.shape[1]
    cameras, number = np.unique(gallery.camids, return_inverse=True)
    count = np.bincount(number).astype(np.float64)[:, None]
    sums, squares = np.zeros((2, len(cameras), dim))
    for start in range(0, len(number), rows_at_once):
        part = slice(start, start + rows_at_once)
        rows = gallery.features[part].astype(np.float64)
        for camera in np.unique(number[part]):
            own = rows[number[part] == camera]
            sums[camera] += own.sum(axis=0)
            squares[camera] += np.square(own).sum(axis=0)
    statistics = [_mean_and_spread(sums, squares, count)]
    statistics.append(_mean_and_spread(*(x.sum(axis=0)[None] for x in (sums, squares, count))))
    mean, spread = (np.concatenate(parts) for parts in zip(*statistics, strict=True))
    normalized = []
    for side in (query, gallery):
        place = np.searchsorted(cameras, side.camids).clip(max=len(cameras) - 1)
        place[cameras[place] != side.camids] = len(cameras)
        out = np.empty(side.features.shape, dtype=np.float32)
        for start in range(0, len(out), rows_at_once):
            part = slice(start, start + rows_at_once)
            out[part] = (side.features[part] - mean[place[part]]) / spread[place[part]]
        normalized.append(l2_normalize(out))
    return normalized[0], normalized[1]


def _mean_and_spread(
    sums: NDArray[np.float64], squares: NDArray[np.float64], count: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean = sums / count
    spread = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return mean, np.where(spread > 1e-6 * (1 + np.abs(mean)), spread, 1.0)


def read_sides(
    labels: Path, query: tuple[Path, FeatureFile], gallery: tuple[Path, FeatureFile]
) -> tuple[Side, Side]:
    """Labels from a CSV file, joined with the features of both sets.

    Args:
        labels: Columns `pid`, and where known `camid`, `distractor`, `set` (query or gallery) and
            `id`. Without `set` the first rows are the queries; without `id` rows are in the order
            of the features.
        query: Where the queries' features are from, and they themselves.
        gallery: Likewise.

    Returns:
        Query and gallery.

    Raises:
        DataError: The file is no such table, or does not go with the features.
    """
    rows = _read_rows(labels)
    sizes = [len(file.features) for _, file in (query, gallery)]
    if "set" in rows[0]:
        if odd := sorted({row["set"] for row in rows} - set(_SETS)):
            raise DataError(f"{labels}: the column set holds {odd[:5]}; query or gallery is needed")
        parts = [[row for row in rows if row["set"] == name] for name in _SETS]
    elif len(rows) == sum(sizes):
        parts = [rows[: sizes[0]], rows[sizes[0] :]]
    else:
        raise DataError(
            f"{labels} has {len(rows)} rows, the features have {sizes[0]} + {sizes[1]}; add a "
            "column set (query or gallery)"
        )
    sides = [
        _side(labels, name, path, file, part)
        for name, (path, file), part in zip(_SETS, (query, gallery), parts, strict=True)
    ]
    if sides[0].features.shape[1] != sides[1].features.shape[1]:
        raise DataError(
            f"{query[0]} has {sides[0].features.shape[1]} numbers per image, {gallery[0]} "
            f"{sides[1].features.shape[1]}; extract both with the same network"
        )
    return sides[0], sides[1]


def _side(
    labels: Path, name: str, path: Path, file: FeatureFile, rows: list[dict[str, str]]
) -> Side:
    if not rows:
        raise DataError(f"{labels} has no row of {name}")
    if file.pose_ids is not None and (file.pose_ids != UNKNOWN).any():
        raise DataError(f"{path} holds drawings (pose_ids); only features of images are scored")
    if file.ids is None:
        ids = [str(row) for row in range(len(rows))]
    elif "id" in rows[0]:
        ids = [row["id"] for row in rows]
        if len(set(ids)) != len(ids):
            twice = next(one for place, one in enumerate(ids) if one in ids[:place])
            raise DataError(f"{labels}: the id {twice!r} is there more than once in {name}")
    else:
        raise DataError(f"{path} names its rows, but {labels} has no column id")
    order = in_order(path, file, ids)
    in_place = np.array_equal(order, np.arange(len(file.features)))
    return Side(
        file.features if in_place else file.features[order],
        *(np.array([_whole(labels, row, key) for row in rows]) for key in ("pid", "camid")),
        np.array([row.get("distractor", "").lower() in ("1", "true", "yes") for row in rows]),
    )


def _whole(labels: Path, row: dict[str, str], key: str) -> int:
    text = row.get(key, "")
    if not text:
        return UNKNOWN
    try:
        value = float(text)
        whole = int(value)
    except (ValueError, OverflowError):
        value, whole = 0.5, 0
    if value != whole:
        raise DataError(
            f"{labels}, line {row['line']}: {key} is {text!r}; a whole number is needed"
        )
    return whole


def _read_rows(path: Path) -> list[dict[str, str]]:
    """Rows with our names of columns, and each row's line number."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text: {error}") from error
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    lines = csv.reader(text.splitlines(), delimiter=delimiter)
    names = [name.strip().lower() for name in next(lines, [])]
    place = {
        ours: names.index(theirs)
        for ours, options in _COLUMNS.items()
        for theirs in options
        if theirs in names
    }
    if "pid" not in place:
        raise DataError(
            f"{path} has the columns {', '.join(names) or 'none'}; pid is needed, and camid, set, "
            "id and distractor where they are known"
        )
    rows = []
    for line, cells in enumerate(lines, start=2):
        if not any(cells):
            continue
        if len(cells) != len(names):
            raise DataError(f"{path}, line {line}: {len(cells)} cells, the header has {len(names)}")
        row = {ours: cells[column].strip() for ours, column in place.items()}
        rows.append({**row, "line": str(line)})
    if not rows:
        raise DataError(f"{path} has a header but no row")
    return rows


def check_variants(names: tuple[str, ...]) -> tuple[Variant, ...]:
    """The variants of these names.

    Raises:
        ParamsError: One is unknown.

    Example:
        >>> check_variants(("nfc",))
        ('nfc',)
    """
    if unknown := [name for name in names if name not in VARIANTS]:
        raise ParamsError(f"there is no variant {unknown[0]!r}; allowed: {', '.join(VARIANTS)}")
    return tuple(variant for variant in VARIANTS if variant in names)
