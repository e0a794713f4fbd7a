"""Features that the project was given instead of a network: one file a split."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pose2id.errors import DataError
from pose2id.feature_files import READERS, FeatureFile, checked_features, in_order, read_features
from tasks.tables import schema

SUFFIXES = (*READERS, ".parquet", ".sql")
TABLES = ("parquet", "csv")  # files that a query can read


@dataclass(frozen=True)
class Precomputed:
    """The given features of one split.

    Attributes:
        features: `(N, D) float32`, in no order.
        rows: Row of every original, and of every drawing, by image and pose id.
        fingerprint: Hex sha256 of the file.
    """

    features: NDArray[np.float32]
    rows: Mapping[tuple[str, int], int]
    fingerprint: str


def read_precomputed(folder: Path, split: str, image_ids: list[str]) -> Precomputed:
    """Reads the features of a split and finds those of its images.

    Args:
        folder: `features.model`; holds `<split>.npy`, or another of `SUFFIXES`. A `.sql` file is a
            DuckDB query whose result has the columns `image_id`, `feature` and perhaps `pose_id`;
            each Parquet and CSV file of this folder is a table of its name, and nothing else can
            be read.
        split: Name of the split.
        image_ids: Every image of the split's index, sorted. Rows without ids are in this order;
            ids may leave out `<split>/`.

    Returns:
        The features; rows of images that the index does not have are left out.

    Raises:
        DataError: The file is missing, holds no usable matrix, or lacks images.
    """
    if not folder.is_dir():
        raise DataError(
            f"features.model is {folder}; with features.extractor precomputed it is the folder "
            f"that holds {split}.npy (or {', '.join(SUFFIXES[1:])})"
        )
    found = sorted(p for p in folder.glob(f"{split}.*") if p.suffix.lower() in SUFFIXES)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(
            f"{folder} should hold one file of features for the split {split!r}, {split} with one "
            f"of {', '.join(SUFFIXES)}; found: {names}"
        )
    (path,) = found
    file = _with_split(_read(path, folder), split)
    rows = _rows(path, file, image_ids)
    # A query may read any file of the folder, so all of them count.
    parts = [path] if path.suffix != ".sql" else sorted(p for p in folder.rglob("*") if p.is_file())
    digest = hashlib.sha256()
    for part in parts:
        with part.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return Precomputed(file.features, rows, digest.hexdigest())


def _read(path: Path, folder: Path) -> FeatureFile:
    if path.suffix == ".parquet":
        try:
            return _of_table(path, pq.read_table(path))
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} is damaged or no Parquet file: {error}") from error
    if path.suffix == ".sql":
        return _of_table(path, _query(path, folder))
    return read_features(path)


def _query(path: Path, folder: Path) -> pa.Table:
    """The result of a query that sees the tables of one folder, and no file."""
    import duckdb
    from pyarrow import dataset

    try:
        text = path.read_text(encoding="utf-8")
        with duckdb.connect(config={"enable_external_access": False}) as connection:
            for kind in TABLES:
                for file in sorted(folder.glob(f"*.{kind}")):
                    connection.register(file.stem, dataset.dataset(file, format=kind))
            connection.execute("SET lock_configuration = true")
            return connection.sql(text).to_arrow_table()
    except (duckdb.Error, pa.ArrowException, OSError, UnicodeDecodeError, AttributeError) as error:
        raise DataError(f"{path} is no query that gives features: {str(error)[:500]}") from error


def _of_table(path: Path, table: pa.Table) -> FeatureFile:
    if "feature" not in table.column_names:
        raise DataError(
            f"{path} has the columns {', '.join(table.column_names)}; feature is needed, and "
            "image_id and pose_id where they are known"
        )
    try:
        rows = table.column("feature").to_pylist()
        matrix = np.array(rows, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: the features are not equally long lists of numbers") from error
    columns: list[Any] = [
        table.column(name).to_pylist() if name in table.column_names else None
        for name in ("image_id", "pose_id")
    ]
    if any(column is not None and None in column for column in columns):
        raise DataError(f"{path} has rows without image_id or pose_id; give every row one")
    return checked_features(path, matrix, *columns)


def _with_split(file: FeatureFile, split: str) -> FeatureFile:
    if file.ids is None or any("/" in name for name in file.ids):
        return file
    return FeatureFile(file.features, [f"{split}/{name}" for name in file.ids], file.pose_ids)


def _rows(path: Path, file: FeatureFile, image_ids: list[str]) -> dict[tuple[str, int], int]:
    own = schema.ORIGINAL_POSE_ID
    if file.pose_ids is None:
        order = in_order(path, file, image_ids)
        return {(name, own): int(row) for name, row in zip(image_ids, order, strict=True)}
    if file.ids is None:
        raise DataError(f"{path} has pose_ids but no ids; name the image of every row")
    originals = np.flatnonzero(file.pose_ids == own)
    alone = FeatureFile(file.features[originals], [file.ids[row] for row in originals])
    order = originals[in_order(path, alone, image_ids)]
    rows = {(name, own): int(row) for name, row in zip(image_ids, order, strict=True)}
    known = set(image_ids)
    named = enumerate(zip(file.ids, file.pose_ids.tolist(), strict=True))
    drawings = {key: row for row, key in named if key[1] != own and key[0] in known}
    return rows | drawings
