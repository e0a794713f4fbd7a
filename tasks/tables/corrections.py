"""`data/corrections.csv`: what a person has decided about single labels.

Columns: `image_id`, `action`, `pid`, and `note` for people. An action is `keep` (looked at and
right: no longer listed among the doubtful), `drop` (the image is left out) or `relabel` (it is of
the person `pid`).
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, get_args

from pose2id.datasets.base import ImageRecord
from pose2id.datasets.fields import LARGEST_ID, number
from pose2id.errors import DataError

Action = Literal["keep", "drop", "relabel"]
COLUMNS: Final = ("image_id", "action", "pid", "note")
LARGEST_BYTES: Final = 64 * 2**20
_SHOWN: Final = 10  # faults in a message


@dataclass(frozen=True, slots=True)
class Correction:
    """One decision: its line in the file, and the person where the action is `relabel`."""

    line: int
    action: Action
    pid: int | None


@dataclass(frozen=True, slots=True)
class Corrected:
    """A split after corrections: the records that are left, and those that were dropped."""

    kept: tuple[ImageRecord, ...]
    dropped: tuple[ImageRecord, ...]
    n_relabelled: int


def read_corrections(path: Path, splits: Collection[str]) -> dict[str, Correction]:
    """Reads a file of corrections; without one nothing has been decided.

    Args:
        path: The CSV file, with `,`, `;` or tabs.
        splits: The project's splits; an image id begins with one of them and a slash.

    Returns:
        Image id -> what was decided.

    Raises:
        DataError: The file cannot be understood; the message lists the lines.
    """
    if not path.exists():
        return {}
    rows, faults = _rows(path), list[str]()
    found: dict[str, Correction] = {}
    for line, row in rows:
        image_id = row.get("image_id", "")
        try:
            if image_id.partition("/")[0] not in splits or not image_id.partition("/")[2]:
                raise DataError(
                    f"image_id is {image_id[:100]!r}; an id of the index is needed, such as "
                    f"{next(iter(splits))}/NAME, with one of the splits {', '.join(splits)}"
                )
            if image_id in found:
                raise DataError(f"{image_id} is on line {found[image_id].line} already")
            found[image_id] = _correction(line, row)
        except DataError as error:
            faults.append(f"line {line}: {error}")
    if faults:
        more = f"\n  and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        shown = "\n  ".join(faults[:_SHOWN])
        raise DataError(f"{path} has {len(faults)} line(s) to mend:\n  {shown}{more}")
    return found


def correct(
    records: Collection[ImageRecord],
    corrections: Mapping[str, Correction],
    split: str,
    *,
    path: Path,
    nobody: Collection[int],
) -> Corrected:
    """Applies the corrections of one split.

    Args:
        records: The images of the split.
        corrections: Of all splits, see `read_corrections`.
        split: Name of the split.
        path: The file, for messages.
        nobody: Person ids that mark distractors and junk, which an image cannot be made to be.

    Returns:
        The records as corrected, in their order.

    Raises:
        DataError: A correction names no image of the split, or a person who is none.
    """
    mine = {name: item for name, item in corrections.items() if name.startswith(f"{split}/")}
    unknown = sorted(mine.keys() - {record.image_id for record in records})
    if unknown:
        lines = ", ".join(f"{name} (line {mine[name].line})" for name in unknown[:_SHOWN])
        raise DataError(
            f"{path} names {len(unknown)} image(s) that split {split!r} does not have: {lines}; "
            'ids are those of the index: pose2id query "SELECT image_id FROM \\"index\\""'
        )
    kept, dropped, n_relabelled = list[ImageRecord](), list[ImageRecord](), 0
    for record in records:
        item = mine.get(record.image_id)
        if item is None or item.action == "keep":
            kept.append(record)
        elif item.action == "drop":
            dropped.append(record)
        elif item.pid in nobody:
            raise DataError(
                f"{path}, line {item.line}: pid {item.pid} marks a distractor or junk and is no "
                "person; to leave the image out, write drop"
            )
        else:
            kept.append(replace(record, pid=item.pid, distractor=False))
            n_relabelled += 1
    return Corrected(tuple(kept), tuple(dropped), n_relabelled)


def _correction(line: int, row: Mapping[str, str]) -> Correction:
    action, pid = row.get("action", "").lower(), row.get("pid", "")
    for known in get_args(Action):
        if action == known:
            if known != "relabel":
                return Correction(line, known, None)
            return Correction(line, known, number(pid, "pid", LARGEST_ID))
    raise DataError(f"action is {action[:100]!r}; {', '.join(get_args(Action))} are allowed")


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Line and cells of every row that is not empty."""
    wanted = f"a CSV file with the columns {', '.join(COLUMNS)} is needed; the header alone will do"
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise DataError(f"{path} is larger than {LARGEST_BYTES // 2**20} MiB; {wanted}")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{path} cannot be read ({reason}); {wanted}") from None
    except ValueError:
        raise DataError(f"{path} is not text in UTF-8; in Excel save it as 'CSV UTF-8'") from None
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        missing = [name for name in COLUMNS[:2] if name not in header]
        unknown = [name for name in header if name not in COLUMNS]
        if missing or unknown or len(set(header)) != len(header):
            raise DataError(f"{path} has the columns {', '.join(header)[:200] or 'none'}; {wanted}")
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if len(cells) > len(header):
                    raise DataError(
                        f"{path}, line {reader.line_num}: {len(cells)} cells, the header has "
                        f"{len(header)}"
                    )
                pairs = zip(header, cells, strict=False)
                rows.append((reader.line_num, {name: cell.strip() for name, cell in pairs}))
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV file: {error}, line {reader.line_num}") from None
    return rows
