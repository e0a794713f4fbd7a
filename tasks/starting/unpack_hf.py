"""Hugging Face datasets in Arrow (`save_to_disk`) or Parquet, unpacked to image folders."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pose2id.datasets.file_names import check_split_name
from pose2id.errors import DataError

_PARQUET: Final = re.compile(r"([A-Za-z0-9_]+?)(?:-[0-9]{5}-of-[0-9]{5})?\.parquet")
_SIGNATURES: Final = (
    (b"\xff\xd8", ".jpg"),
    (b"\x89PNG", ".png"),
    (b"BM", ".bmp"),
    (b"RIFF", ".webp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
)
_BATCH_ROWS: Final = 64


def split_files(folder: Path) -> dict[str, list[Path]]:
    """Split -> its Arrow or Parquet files; empty where a folder is no such dataset."""
    splits: dict[str, list[Path]] = {}
    parts = [folder, *sorted(path for path in folder.glob("[!.]*") if path.is_dir())]
    for part in parts:
        state = part / "state.json"
        if state.is_file():
            splits[_split_name(part, state)] = sorted(part.glob("*.arrow"))
    if not splits:
        for path in sorted([*folder.glob("*.parquet"), *folder.glob("data/*.parquet")]):
            if match := _PARQUET.fullmatch(path.name):
                splits.setdefault(match[1], []).append(path)
    return {name: files for name, files in splits.items() if files}


def unpack_hf(folder: Path, target: Path, advance: Callable[[], None]) -> None:
    """Writes `<split>/<row>.<suffix>` and `<split>/metadata.csv`.

    Raises:
        DataError: A split has no column of pictures, or a picture is only a path.
    """
    for split, files in split_files(folder).items():
        check_split_name(split)
        (target / split).mkdir()
        rows = (row for path in files for row in _rows(path))
        with (target / split / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
            writer: csv.DictWriter[str] | None = None
            for number, row in enumerate(rows):
                image, labels = _parted(row, split)
                name = f"{number:07d}{_suffix(image)}"
                (target / split / name).write_bytes(image)
                if writer is None:
                    writer = csv.DictWriter(file, ["file_name", *labels])
                    writer.writeheader()
                writer.writerow({"file_name": name, **labels})
                advance()


def _split_name(part: Path, state: Path) -> str:
    try:
        return str(json.loads(state.read_text(encoding="utf-8")).get("_split") or part.name)
    except (ValueError, OSError, AttributeError) as error:
        raise DataError(f"{state} is not what save_to_disk writes: {error}") from error


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        if path.suffix == ".parquet":
            batches = pq.ParquetFile(path).iter_batches(_BATCH_ROWS)
        else:
            batches = iter(pa.ipc.open_stream(pa.memory_map(str(path))))
        for batch in batches:
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                yield from batch.slice(start, _BATCH_ROWS).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _parted(row: dict[str, Any], split: str) -> tuple[bytes, dict[str, Any]]:
    """The picture of a row, and its labels."""
    pictures = [name for name, value in row.items() if isinstance(value, dict) and "bytes" in value]
    if len(pictures) != 1:
        raise DataError(
            f"the split {split!r} has the columns {', '.join(row)}, of which {len(pictures)} hold "
            "pictures; one is needed"
        )
    data = row[pictures[0]]["bytes"]
    if not data:
        raise DataError(
            f"the split {split!r} holds the path {row[pictures[0]].get('path')!r} in place of a "
            "picture; save it with its pictures inside, or write a manifest"
        )
    scalar = {
        name: value
        for name, value in row.items()
        if name not in (pictures[0], "file_name", "path", "image")
        and isinstance(value, str | int | float | bool | None)
    }
    return bytes(data), scalar


def _suffix(image: bytes) -> str:
    return next((suffix for mark, suffix in _SIGNATURES if image.startswith(mark)), ".jpg")
