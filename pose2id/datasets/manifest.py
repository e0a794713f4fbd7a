r"""Datasets listed in CSV: `<root>/<split>.csv`, or `<root>/manifest.csv` with a column `split`.

Columns: `path` (relative to the root, required), `pid`, `camid` (0-based), `modality` (`visible`
or `infrared`), `clothes_id`, `distractor` (`0` or `1`), `tracklet_id`, `group`. All but `path` may
be left out, as columns or cell by cell, and columns of other names are not read. The files may be
as pandas and Excel write them: UTF-8 or UTF-16, with commas, semicolons or tabs, `1.0` for 1, and
`\` in paths.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final

from pose2id.datasets.collector import Collector
from pose2id.datasets.file_names import check_split_name
from pose2id.datasets.files import DatasetFiles
from pose2id.datasets.layout import Layout
from pose2id.datasets.tables import Row, labels_of, read_rows
from pose2id.errors import DataError

ONE_TABLE: Final = "manifest.csv"


class ManifestReader(Layout):
    """Reads the rows of a split; every split may have any name.

    The image id is the split and the path without its suffix, so that pictures of the same name
    in different folders stay apart.
    """

    name = "manifest"
    title = "manifest"
    splits = ()
    junk_pids = (-1,)
    cameras_from = 0

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """A table of all splits, or one of the queries and one of the gallery."""
        for names in ((ONE_TABLE,), ("query.csv", "gallery.csv")):
            if all((root / name).is_file() for name in names):
                try:
                    read_rows(root / names[0])
                except DataError:
                    continue
                return " and ".join(names)
        return None

    @classmethod
    def found_splits(cls, root: Path) -> tuple[str, ...]:
        """The names of the tables, or those in the column `split` of the one table."""
        if (root / ONE_TABLE).is_file():
            named = {row.cells.get("split", "") for row in read_rows(root / ONE_TABLE)}
            return tuple(sorted(named - {""}))
        return tuple(sorted(path.stem for path in root.glob("[!.]*.csv")))

    def _read(self, files: DatasetFiles, split: str, into: Collector) -> None:
        check_split_name(split)
        own = files.root / f"{split}.csv"
        if own.is_file() or not (files.root / ONE_TABLE).is_file():
            add_rows(files, into, read_rows(own), "")
            return
        rows = read_rows(files.root / ONE_TABLE)
        mine = [row for row in rows if row.cells.get("split", "").strip() == split]
        if not mine:
            names = sorted({row.cells.get("split", "") for row in rows})
            raise DataError(
                f"{files.root / ONE_TABLE} has no row whose split is {split!r}; it has {names}"
            )
        add_rows(files, into, mine, "")


def add_rows(files: DatasetFiles, into: Collector, rows: Iterable[Row], below: str) -> None:
    """Gathers the images that rows of a table name.

    Args:
        files: The dataset's files.
        into: Takes the images.
        rows: The rows.
        below: The folder that paths are relative to, below the root; empty for the root.
    """
    for row in rows:
        named = row.cells.get("path", "").replace("\\", "/").strip()
        path = _below_root(files.root, str(PurePosixPath(below, named)))
        try:
            if row.fault:
                raise DataError(row.fault)
            reason = files.why_unusable(path) if named else "has no path"
            if reason:
                raise DataError(reason)
            labels = labels_of(row.cells)
        except DataError as error:
            into.reject(path if named else f"line {row.line}", f"line {row.line}: {error}")
            continue
        into.add(path, str(PurePosixPath(path).relative_to(below or ".").with_suffix("")), labels)


def _below_root(root: Path, path: str) -> str:
    """A path relative to the root, also where a table names files by their full paths."""
    full = PurePosixPath(path)
    if full.is_absolute() and full.is_relative_to(root.absolute().as_posix()):
        return str(full.relative_to(root.absolute().as_posix()))
    return path
