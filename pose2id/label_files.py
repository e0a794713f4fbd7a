"""Labels of features from a CSV file, joined with them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose2id.errors import DataError
from pose2id.feature_files import FeatureFile, in_order

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
        np.array([_whole(labels, row, "pid") for row in rows], dtype=np.int64),
        np.array([_whole(labels, row, "camid") for row in rows], dtype=np.int64),
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
