"""What every dataset reader returns: records of usable files and rejects with their reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol, TypeVar

T = TypeVar("T")
Modality = Literal["visible", "infrared"]


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image file of a dataset, with the labels that its name or folder carries.

    Attributes:
        image_id: `"<split>/<path below the split's folder without suffix>"`, unique within the
            dataset; in flat folders that is the file's stem.
        path: POSIX path relative to the dataset's root.
        split: `train`, `query`, `gallery`, or any other name that the params list.
        pid: Person id, `None` where the dataset has no labels.
        camid: Camera id, 0-based, `None` where the dataset has no cameras.
        modality: `visible` or `infrared`.
        clothes_id: Outfit id in cloth-changing datasets, else `None`; some datasets number outfits
            per person, so compare it together with `pid`.
        distractor: A gallery image that matches no query (Market-1501: pid 0).
        tracklet_id: Name of the track that a video dataset's image is a frame of, else `None`.
        group: A free label for protocols that compare groups, else `None`.
    """

    image_id: str
    path: str
    split: str
    pid: int | None
    camid: int | None
    modality: Modality = "visible"
    clothes_id: int | None = None
    distractor: bool = False
    tracklet_id: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class RejectedFile:
    """A file that the reader or the index could not use: its relative path and the reason."""

    path: str
    split: str
    reason: str


@dataclass(frozen=True, slots=True)
class Listing:
    """All files of one split: usable records sorted by image id, and rejects sorted by path.

    Attributes:
        records: What can be used.
        rejects: Images that cannot be used, each path once.
        not_images: Files that are no images and not meant to be (`Thumbs.db`, sidecars): they
            do not count as rejects.
        junk: Paths of files that the layout marks as junk (Market-1501: pid -1): not kept.
    """

    records: tuple[ImageRecord, ...]
    rejects: tuple[RejectedFile, ...] = field(default=())
    not_images: tuple[RejectedFile, ...] = field(default=())
    junk: tuple[str, ...] = field(default=())

    @property
    def n_junk(self) -> int:
        """Number of junk files."""
        return len(self.junk)


@dataclass(frozen=True, slots=True)
class Official:
    """What a dataset's authors or the usual loaders count in one split.

    Several numbers where several are quoted; empty where none is known.

    Attributes:
        images: Images that are kept.
        people: Person ids among them.
        tracklets: Tracks among them, of a video dataset.
    """

    images: tuple[int, ...] = ()
    people: tuple[int, ...] = ()
    tracklets: tuple[int, ...] = ()

    def check(self, split: str, found: Counts) -> list[str]:
        """A sentence for every number that is not as published.

        Example:
            >>> Official(images=(32_621,)).check("train", Counts(32_619, 1_041, 0))
            ['train: 32,621 images expected, 32,619 found']
        """
        pairs = (
            ("images", self.images, found.images),
            ("people", self.people, found.people),
            ("tracklets", self.tracklets, found.tracklets),
        )
        return [
            f"{split}: {' or '.join(f'{n:,}' for n in expected)} {what} expected, {n_found:,} found"
            for what, expected, n_found in pairs
            if expected and n_found not in expected
        ]


def by_split(**values: T) -> Mapping[str, T]:
    """One value per split, read-only.

    Example:
        >>> dict(by_split(query=1, gallery=2))
        {'query': 1, 'gallery': 2}
    """
    return MappingProxyType(values)


@dataclass(frozen=True, slots=True)
class Counts:
    """Images, people and tracklets that were found in a split."""

    images: int
    people: int
    tracklets: int

    @classmethod
    def of(cls, records: Sequence[ImageRecord]) -> Counts:
        """Counts records; a distractor's person id counts too, as in the published numbers."""
        return cls(
            images=len(records),
            people=len({record.pid for record in records if record.pid is not None}),
            tracklets=len({r.tracklet_id for r in records if r.tracklet_id is not None}),
        )


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
