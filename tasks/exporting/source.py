"""What every export reads: a split's generated pictures joined with labels and verdicts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from pose2id.errors import DataError
from tasks.tables.schema import Layout
from tasks.tables.seal import open_sealed, table_schema
from tasks.tables.store import read_table
from tasks.tables.synthetic_mark import Mark, mark_picture

BATCH_ROWS = 256  # pictures held in memory at a time
MAX_STEM_CHARS = 120
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)

T = TypeVar("T")
Advance = Callable[[int], None]  # told how many pictures have just been written


@dataclass(frozen=True, slots=True)
class Picture:
    """One generated picture with everything that is known about it.

    Attributes:
        image_id: The image whose person was re-drawn.
        pose_id: The pose.
        data: The stored image file, without a mark.
        file_format: `png`, `jpeg` or `webp`.
        width_px: Width.
        height_px: Height.
        seed: Seed of the picture's start noise.
        source: The image's row in the index.
        label: 0-based number of the person within the split, the class of a training loss; `None`
            for distractors and where there are no labels.
        accepted: The verdict of the quality gates.
        reasons: Why it was not accepted.
        mark: What the picture says about itself.
    """

    image_id: str
    pose_id: int
    data: bytes
    file_format: str
    width_px: int
    height_px: int
    seed: int
    source: dict[str, Any]
    label: int | None
    accepted: bool
    reasons: tuple[str, ...]
    mark: Mark

    @property
    def stem(self) -> str:
        """Name of the original's file without suffix, safe as a file name."""
        return safe_stem(self.image_id, self.source["split"])

    @property
    def suffix(self) -> str:
        """Suffix of the stored format, without a dot."""
        return "jpg" if self.file_format == "jpeg" else self.file_format

    @property
    def flat_name(self) -> str:
        """Name of the picture without suffix and without a dot, unique within the split."""
        return safe_stem(f"{self.image_id}_pose{self.pose_id}", self.source["split"], dots=False)

    def marked(self) -> bytes:
        """The image file with the mark inside."""
        return mark_picture(self.data, self.file_format, self.mark)

    def facts(self) -> dict[str, Any]:
        """The picture's row in an exported table, JSON values only."""
        return {
            "image_id": self.image_id,
            "pose_id": self.pose_id,
            "pid": self.source["pid"],
            "camid": self.source["camid"],
            "label": self.label,
            "distractor": self.source["distractor"],
            "modality": self.source["modality"],
            "clothes_id": self.source["clothes_id"],
            "source_path": self.source["path"],
            "width_px": self.width_px,
            "height_px": self.height_px,
            "accepted": self.accepted,
            "reasons": ", ".join(self.reasons),
            "synthetic": True,
            "generator": self.mark.generator,
            "seed": str(self.seed),  # 64 bits do not fit into every JSON reader's numbers
            "key": self.mark.key,
        }


class SplitPictures:
    """The generated pictures of one split, read part by part.

    Args:
        layout: Where the tables are.
        split: Name of the split.
        accepted_only: Leave out what the quality gates did not accept.

    Raises:
        DataError: A table of the split is missing.
    """

    def __init__(self, layout: Layout, split: str, *, accepted_only: bool = False) -> None:
        self.split = split
        self.accepted_only = accepted_only
        self.folder = layout.generated(split)
        rows = read_table(layout.index(split)).to_pylist()
        self.index: dict[str, dict[str, Any]] = {row["image_id"]: row for row in rows}
        quality = read_table(
            layout.quality(split), ["image_id", "pose_id", "accepted", "reasons"]
        ).to_pylist()
        self.verdicts: dict[tuple[str, int], tuple[bool, tuple[str, ...]]] = {
            (row["image_id"], row["pose_id"]): (row["accepted"], tuple(row["reasons"]))
            for row in quality
        }
        self.parts = sorted(self.folder.glob("[!.]*.parquet"))
        if not self.parts:
            raise DataError(f"there are no generated pictures at {self.folder}; run: dvc repro")

    @cached_property
    def labels(self) -> dict[int, int]:
        """Person id -> number of the person within the split, without distractors."""
        pids = {r["pid"] for r in self.index.values() if r["pid"] is not None}
        distractors = {r["pid"] for r in self.index.values() if r["distractor"]}
        return {pid: label for label, pid in enumerate(sorted(pids - distractors))}

    @cached_property
    def generators(self) -> set[str]:
        """Fingerprints of what made the pictures."""
        return {_producer(part) for part in self.parts}

    def __iter__(self) -> Iterator[Picture]:
        """All pictures, in the order of the stored parts."""
        for part in self.parts:
            generator = _producer(part)
            with open_sealed(part) as file:
                for batch in file.iter_batches(batch_size=BATCH_ROWS):
                    for row in batch.to_pylist():
                        picture = self._picture(row, generator)
                        if picture.accepted or not self.accepted_only:
                            yield picture

    def _picture(self, row: dict[str, Any], generator: str) -> Picture:
        image_id, pose_id = row["image_id"], row["pose_id"]
        source, verdict = self.index.get(image_id), self.verdicts.get((image_id, pose_id))
        if source is None or verdict is None:
            table = "index" if source is None else "quality table"
            raise DataError(
                f"{image_id} in pose {pose_id} is not in the {table} of split {self.split!r}: the "
                "tables are not of one run; run: dvc repro"
            )
        return Picture(
            image_id=image_id,
            pose_id=pose_id,
            data=row["image"],
            file_format=row["format"],
            width_px=row["width_px"],
            height_px=row["height_px"],
            seed=row["seed"],
            source=source,
            label=None if source["pid"] is None else self.labels.get(source["pid"]),
            accepted=verdict[0],
            reasons=verdict[1],
            mark=Mark(image_id, pose_id, generator, row["key"]),
        )


def count_pictures(layout: Layout, split: str) -> int:
    """The number of stored pictures of a split, found without reading them."""
    parts = layout.generated(split).glob("[!.]*.parquet")
    n_pictures = 0
    for part in parts:
        with open_sealed(part) as file:
            n_pictures += file.metadata.num_rows
    return n_pictures


def safe_stem(image_id: str, split: str, *, dots: bool = True) -> str:
    """The file stem of an image id, safe on every file system.

    Letters, digits, `.`, `_` and `-` stay as they are. Anything else becomes `_`, and a hash of
    the id follows, so that two ids never share a name; no name leaves its folder.

    Args:
        image_id: `"<split>/<file stem>"`.
        split: Name of the split.
        dots: Whether dots may stay.

    >>> safe_stem("query/0001_c1s1_000151_01", "query")
    '0001_c1s1_000151_01'
    >>> safe_stem("query/../../etc/passwd", "query")
    '_._.._etc_passwd-a05cfc82'
    """
    stem = image_id.removeprefix(f"{split}/")
    name = _UNSAFE.sub("_", stem if dots else stem.replace(".", "_"))
    if name.startswith((".", "-")) or name.endswith(".") or _RESERVED.fullmatch(name):
        name = "_" + name[1:].rstrip(".")
    name = name[:MAX_STEM_CHARS]
    if name == stem:
        return name
    return f"{name}-{hashlib.sha256(image_id.encode()).hexdigest()[:8]}"


def _producer(part: Path) -> str:
    return str(table_schema(part).metadata[b"pose2id.producer"].decode())


def in_chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size` items, in order.

    >>> list(in_chunks(range(5), 2))
    [[0, 1], [2, 3], [4]]
    """
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a new file; two pictures must never share one."""
    with path.open("xb") as file:
        file.write(data)
