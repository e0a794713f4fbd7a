"""What every dataset reader returns: records of usable files and rejects with their reasons."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Modality = Literal["visible", "infrared"]


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image file of a dataset, with the labels that its name or folder carries.

    Attributes:
        image_id: `"<split>/<file stem>"`, unique within the dataset.
        path: POSIX path relative to the dataset's root.
        split: `train`, `query`, `gallery`, or any other name that the params list.
        pid: Person id, `None` where the dataset has no labels.
        camid: Camera id, 0-based, `None` where the dataset has no cameras.
        modality: `visible` or `infrared`.
        clothes_id: Outfit id in cloth-changing datasets, else `None`.
        distractor: A gallery image that matches no query (Market-1501: pid 0).
    """

    image_id: str
    path: str
    split: str
    pid: int | None
    camid: int | None
    modality: Modality = "visible"
    clothes_id: int | None = None
    distractor: bool = False


@dataclass(frozen=True, slots=True)
class RejectedFile:
    """A file that the reader or the index could not use: its relative path and the reason."""

    path: str
    split: str
    reason: str


@dataclass(frozen=True, slots=True)
class Listing:
    """All files of one split: usable records sorted by image id, and rejects sorted by path.

    `n_junk` counts files that the layout marks as junk (Market-1501: pid -1): read, not kept.
    """

    records: tuple[ImageRecord, ...]
    rejects: tuple[RejectedFile, ...] = field(default=())
    n_junk: int = 0


class DatasetReader(Protocol):
    """Turns one split of a dataset folder into records; reads names and folders, not pixels."""

    def read_split(self, root: Path, split: str) -> Listing:
        """Lists one split.

        Args:
            root: The dataset's root folder.
            split: Name of the split.

        Returns:
            The split's records and rejects.

        Raises:
            DataError: The split's folder is missing or the reader has no such split.
        """
        ...
