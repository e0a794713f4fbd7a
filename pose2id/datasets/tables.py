"""Tables of labels as people write them: CSV by pandas or Excel, JSON lines by Hugging Face."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pose2id.datasets.base import Modality
from pose2id.datasets.collector import ImageLabels
from pose2id.datasets.fields import LARGEST_CAMERA, LARGEST_ID, number
from pose2id.errors import DataError

COLUMNS: Final = (
    *("path", "pid", "camid", "modality", "clothes_id", "distractor", "tracklet_id", "group"),
    "split",
)
ALIASES: Final = {
    **dict.fromkeys(("file", "file_name", "filename", "image", "image_path", "img_path"), "path"),
    **dict.fromkeys(("person", "person_id", "personid", "identity", "label"), "pid"),
    **dict.fromkeys(("camera", "camera_id", "cameraid", "cam", "cam_id"), "camid"),
    **dict.fromkeys(("clothes", "clothesid", "outfit"), "clothes_id"),
    **dict.fromkeys(("tracklet", "track", "track_id", "trackletid"), "tracklet_id"),
}
_MISSING: Final = frozenset({"", "nan", "none", "null", "na", "n/a", "<na>"})
_MODALITIES: Final[dict[str, Modality]] = {
    **dict.fromkeys(("visible", "rgb"), "visible"),
    **dict.fromkeys(("infrared", "ir", "thermal"), "infrared"),
}
_TRUTH: Final = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
_MARKS: Final = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line, its cells by column (known columns only), and what is wrong with it."""

    line: int
    cells: Mapping[str, str]
    fault: str | None = None


def read_rows(path: Path) -> list[Row]:
    """Reads a table by its suffix: `.jsonl`, or else CSV with `,`, `;` or tabs.

    Args:
        path: The file.

    Returns:
        Its rows; empty lines are left out.

    Raises:
        DataError: The file is missing, not text, or has no column with paths.
    """
    text = _text(path)
    return _json_rows(path, text) if path.suffix == ".jsonl" else _csv_rows(path, text)


def labels_of(cells: Mapping[str, str]) -> ImageLabels:
    """What the cells of a row say.

    Raises:
        DataError: A cell has a value that its column does not allow.
    """
    modality = _text_cell(cells, "modality") or "visible"
    if modality.lower() not in _MODALITIES:
        raise DataError(f"modality is {modality!r}; visible and infrared are allowed")
    distractor = _text_cell(cells, "distractor") or "0"
    if distractor.lower() not in _TRUTH:
        raise DataError(f"distractor is {distractor!r}; 0 and 1 are allowed")
    return ImageLabels(
        pid=_number(cells, "pid", LARGEST_ID, least=-1),
        camid=_number(cells, "camid", LARGEST_CAMERA),
        modality=_MODALITIES[modality.lower()],
        clothes_id=_number(cells, "clothes_id", LARGEST_ID),
        distractor=_TRUTH[distractor.lower()],
        tracklet_id=_text_cell(cells, "tracklet_id"),
        group=_text_cell(cells, "group"),
    )


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error}); a split needs a CSV file with the "
            f"columns {', '.join(COLUMNS)}, of which only path is required"
        ) from error
    if data.startswith(b"PK"):
        raise DataError(f"{path} is an Excel workbook by its bytes; save it as 'CSV UTF-8'")
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not text in UTF-8 or UTF-16 (byte {error.start}); in Excel save it as "
            "'CSV UTF-8', in pandas leave the encoding out"
        ) from error


def _csv_rows(path: Path, text: str) -> list[Row]:
    lines = text.splitlines(keepends=True)
    n_skipped = 0
    delimiter = _delimiter(lines[0] if lines else "")
    if lines and (said := re.fullmatch(r'"?sep=(.)"?', lines[0].strip(), re.IGNORECASE)):
        delimiter, n_skipped = said[1], 1  # Excel's own first line
    reader = csv.reader(lines[n_skipped:], delimiter=delimiter, strict=True)
    try:
        header = _header(path, next(reader, []))
        rows: list[Row] = []
        for cells in reader:
            line = reader.line_num + n_skipped
            if not any(cell.strip() for cell in cells):
                continue
            fault = None
            if any(cell.strip() for cell in cells[len(header) :]):
                fault = "has more cells than the header has columns"
            pairs = zip(header, cells, strict=False)
            known = {name: cell.strip() for name, cell in pairs if name in COLUMNS}
            rows.append(Row(line, known, fault))
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV file: {error} in line {reader.line_num}") from error
    return rows


def _delimiter(header: str) -> str:
    """The mark that cuts a header into most cells; a comma where none does."""
    return max(",;\t", key=header.count)


def _header(path: Path, cells: list[str]) -> list[str]:
    """Column names in the form that the code knows; others are kept and not read."""
    names = [re.sub(r"[\s-]+", "_", cell.strip().strip("\ufeff").lower()) for cell in cells]
    taken = set(names) & set(COLUMNS)
    for place, name in enumerate(names):  # `file` is the path where nothing else is
        meant = ALIASES.get(name, name)
        if name in ALIASES and meant not in taken:
            names[place] = meant
            taken.add(meant)
    known = [name for name in names if name in COLUMNS]
    if "path" not in known or len(set(known)) != len(known):
        raise DataError(
            f"{path} has the columns {cells}; path is required, {', '.join(COLUMNS[1:])} are "
            "known, each once"
        )
    return names


def _json_rows(path: Path, text: str) -> list[Row]:
    rows: list[Row] = []
    for line, record in enumerate(text.splitlines(), 1):
        if not record.strip():
            continue
        try:
            values = json.loads(record)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path} is not one JSON object a line: line {line}: {error}") from None
        if not isinstance(values, dict):
            raise DataError(f"{path} is not one JSON object a line: line {line}")
        names = _header(path, list(values))
        cells = {
            name: "" if value is None else str(value)
            for name, value in zip(names, values.values(), strict=True)
            if name in COLUMNS
        }
        rows.append(Row(line, cells))
    return rows


def _text_cell(cells: Mapping[str, str], column: str) -> str | None:
    text = (cells.get(column) or "").strip()
    return None if text.lower() in _MISSING else text


def _number(cells: Mapping[str, str], column: str, most: int, *, least: int = 0) -> int | None:
    text = _text_cell(cells, column)
    return None if text is None else number(text.replace(",", "."), column, most, least=least)
