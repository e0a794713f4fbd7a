"""Hugging Face image folders: `<split>/metadata.{csv,jsonl}` beside the images that it names.

The column `file_name` is relative to the table's folder; the others are those of the manifest.
Datasets that hold their pictures inside (`save_to_disk`, Parquet) are unpacked into this form by
`pose2id init`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pose2id.datasets.collector import Collector
from pose2id.datasets.files import DatasetFiles, folders_in
from pose2id.datasets.layout import Layout
from pose2id.datasets.manifest import add_rows
from pose2id.datasets.tables import read_rows
from pose2id.errors import DataError

TABLES: Final = ("metadata.csv", "metadata.jsonl")


class HfReader(Layout):
    """Reads the tables of the splits; every split may have any name."""

    name = "hf"
    title = "Hugging Face image folder"
    splits = ()
    cameras_from = 0

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """Folders with a table of metadata."""
        good = [name for name in folders_in(root) if _table(root / name)]
        return f"metadata tables in {' and '.join(good)}" if good else None

    @classmethod
    def found_splits(cls, root: Path) -> tuple[str, ...]:
        """Every folder with a table."""
        return tuple(name for name in folders_in(root) if _table(root / name))

    def _read(self, files: DatasetFiles, split: str, into: Collector) -> None:
        table = _table(files.folder(split))
        if table is None:
            raise DataError(
                f"{files.root / split} has no {' or '.join(TABLES)}; a dataset with its pictures "
                "inside Arrow or Parquet files is unpacked by pose2id init"
            )
        rows = read_rows(table)
        named = {f"{split}/{row.cells.get('path', '')}" for row in rows}
        for path in into.found(files.below(split, split)):
            if path not in named:
                into.reject(path, f"is not named in {table.name}")
        add_rows(files, into, rows, split)


def _table(folder: Path) -> Path | None:
    return next((folder / name for name in TABLES if (folder / name).is_file()), None)
