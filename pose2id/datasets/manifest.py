"""Datasets listed in CSV files: `<root>/<split>.csv`, one line per picture.

Columns: `path` (relative to the root, required), `pid`, `camid` (0-based), `modality` (`visible`
or `infrared`), `clothes_id`, `distractor` (`0` or `1`). All but `path` may be left out, as columns
or cell by cell.
"""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Final, cast

from pose2id.datasets.base import ImageRecord, Listing, Modality, RejectedFile
from pose2id.datasets.files import check_split_name, finish, printable, why_unusable
from pose2id.errors import DataError

COLUMNS: Final = ("path", "pid", "camid", "modality", "clothes_id", "distractor")
_MODALITIES: Final = ("visible", "infrared")
_LARGEST: Final = {"pid": 2**31 - 1, "camid": 2**15 - 1, "clothes_id": 2**31 - 1}


class ManifestReader:
    """Reads one CSV file per split; every split may have any name.

    The image id is the split and the path without its suffix, so that pictures of the same name
    in different folders stay apart.

    Args:
        junk_pids: Person ids whose images are counted and left out.
    """

    def __init__(self, junk_pids: Collection[int] = (-1,)) -> None:
        self._junk_pids = frozenset(junk_pids)

    def read_split(self, root: Path, split: str) -> Listing:
        """Lists one split; see `pose2id.datasets.base.DatasetReader`."""
        check_split_name(split)
        records: list[ImageRecord] = []
        rejects: list[RejectedFile] = []
        n_junk = 0
        for line, row in _rows(root / f"{split}.csv"):
            path = row.get("path") or f"line {line}"
            try:
                record = _record(root, split, row)
            except DataError as error:
                rejects.append(RejectedFile(printable(path), split, f"line {line}: {error}"))
                continue
            if record.pid in self._junk_pids:
                n_junk += 1
            else:
                records.append(record)
        return finish(records, rejects, n_junk)


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Line number and cells of every row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="", restval="", strict=True)
            rows = [(reader.line_num, row) for row in reader]
            header = reader.fieldnames or []
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error}); a split needs a CSV file with the "
            f"columns {', '.join(COLUMNS)}, of which only path is required"
        ) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a CSV file in UTF-8: {error}") from error
    unknown = sorted(set(header) - set(COLUMNS))
    if "path" not in header or unknown or len(set(header)) != len(header):
        raise DataError(
            f"{path} has the columns {list(header)}; path is required, the others allowed are "
            f"{', '.join(COLUMNS[1:])}, each once"
        )
    return rows


def _record(root: Path, split: str, row: dict[str, str]) -> ImageRecord:
    if "" in row:
        raise DataError("has more cells than the header has columns")
    path = PurePosixPath(row["path"])
    if path.is_absolute() or ".." in path.parts:
        raise DataError("its path must be relative to the dataset's root, without '..'")
    if reason := why_unusable(root, str(path)):
        raise DataError(reason)
    modality = row.get("modality") or "visible"
    if modality not in _MODALITIES:
        raise DataError(f"modality is {modality!r}; {' and '.join(_MODALITIES)} are allowed")
    distractor = row.get("distractor") or "0"
    if distractor not in ("0", "1"):
        raise DataError(f"distractor is {distractor!r}; 0 and 1 are allowed")
    return ImageRecord(
        image_id=f"{split}/{path.with_suffix('')}",
        path=str(path),
        split=split,
        pid=_number(row, "pid", least=-1),
        camid=_number(row, "camid", least=0),
        modality=cast(Modality, modality),
        clothes_id=_number(row, "clothes_id", least=0),
        distractor=distractor == "1",
    )


def _number(row: dict[str, str], column: str, least: int) -> int | None:
    text = (row.get(column) or "").strip()
    if not text:
        return None
    try:
        value = int(text)
    except ValueError:
        raise DataError(f"{column} is {text!r}; a whole number or nothing is allowed") from None
    if not least <= value <= _LARGEST[column]:
        raise DataError(f"{column} is {value}; {least} to {_LARGEST[column]} are allowed")
    return value
