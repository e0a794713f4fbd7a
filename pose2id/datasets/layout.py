"""The base of all dataset layouts: what a layout says of itself, and how its files become records.

A layout is one class in one module. It says which splits there are, what a name means, what the
authors count, and by what it is recognised; everything else is the same for all and is here.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

from pose2id.datasets.base import Listing, Official
from pose2id.datasets.collector import Collector, Entry, ImageLabels
from pose2id.datasets.file_names import check_split_name, without_suffix
from pose2id.datasets.files import DatasetFiles
from pose2id.datasets.names import ReaderName
from pose2id.errors import DataError


class Layout(ABC):
    """One dataset layout.

    Attributes:
        name: The reader's name in params.yaml.
        title: The dataset, for people.
        splits: The splits that `init` writes; empty where a split may have any name.
        more_splits: Further splits that can be read.
        query: The split that is asked with.
        gallery: The split that is searched.
        protocol: The evaluation protocol that its papers use.
        distractor_pids: Person ids that mark gallery images of nobody, where params give none.
        junk_pids: Person ids of images that are never used, where params give none.
        official: What the authors count, per split.
        shared: Whether other datasets are published in this layout too; then the counts are
            checked only where `dataset.name` is this reader's name.
        cameras_from: The number that the dataset's own names give to camid 0.
        camera_names: The dataset's own names of its cameras, where they are no numbers.
        remark: What a user should know, in one sentence.

    Args:
        distractor_pids: Overrides the layout's own.
        junk_pids: Overrides the layout's own.
        follow_links: Whether links may lead out of the dataset's root.
    """

    name: ClassVar[ReaderName]
    title: ClassVar[str]
    splits: ClassVar[tuple[str, ...]] = ("train", "query", "gallery")
    more_splits: ClassVar[tuple[str, ...]] = ()
    query: ClassVar[str] = "query"
    gallery: ClassVar[str] = "gallery"
    protocol: ClassVar[str] = "market"
    distractor_pids: ClassVar[tuple[int, ...]] = ()
    junk_pids: ClassVar[tuple[int, ...]] = ()
    official: ClassVar[Mapping[str, Official]] = {}
    shared: ClassVar[bool] = False
    cameras_from: ClassVar[int] = 1
    camera_names: ClassVar[tuple[str, ...]] = ()
    remark: ClassVar[str] = ""

    def __init__(
        self,
        *,
        distractor_pids: Collection[int] | None = None,
        junk_pids: Collection[int] | None = None,
        follow_links: bool = False,
    ) -> None:
        self._distractors = frozenset(
            self.distractor_pids if distractor_pids is None else distractor_pids
        )
        self._junk = frozenset(self.junk_pids if junk_pids is None else junk_pids)
        self._follow_links = follow_links

    @property
    def nobody(self) -> frozenset[int]:
        """Person ids that stand for no person: those of distractors and of junk."""
        return self._distractors | self._junk

    @classmethod
    @abstractmethod
    def recognises(cls, root: Path) -> str | None:
        """By what a folder shows that it has this layout, in words; `None` where it does not."""

    @classmethod
    def found_splits(cls, root: Path) -> tuple[str, ...]:
        """The splits that a folder of this layout has."""
        return cls.splits

    @classmethod
    def camera_name(cls, camid: int) -> str:
        """What the dataset itself calls a camera of the tables."""
        if cls.camera_names:
            return cls.camera_names[camid] if camid < len(cls.camera_names) else str(camid)
        return str(camid + cls.cameras_from)

    @abstractmethod
    def _read(self, files: DatasetFiles, split: str, into: Collector) -> None:
        """Gathers all images of a split."""

    def read_split(self, root: Path, split: str) -> Listing:
        """Lists one split; see `pose2id.datasets.base.DatasetReader`."""
        known = (*self.splits, *self.more_splits)
        check_split_name(split)
        if known and split not in known:
            raise DataError(
                f"the {self.title} layout has no split {split!r}; it has {', '.join(known)}"
            )
        into = Collector(
            split,
            self._distractors,
            self._junk,
            is_query="query" in split,
            is_train=split == "train",
        )
        self._read(DatasetFiles(root, follow_links=self._follow_links), split, into)
        return into.listing()

    def expected(self, split: str, dataset: str) -> Official | None:
        """What the authors count in a split of this dataset, where that is known.

        Args:
            split: Name of the split.
            dataset: `dataset.name` of the params.
        """
        plain = re.sub(r"[^a-z0-9]", "", dataset.lower())
        if self.shared and plain != re.sub(r"[^a-z0-9]", "", self.name):
            return None
        return self.official.get(split)


class FolderLayout(Layout):
    """A layout whose splits are folders and whose labels are in the paths.

    Attributes:
        folders: The folders of each split.
        flat: Whether images lie directly in them.
    """

    folders: ClassVar[Mapping[str, tuple[str, ...]]]
    flat: ClassVar[bool] = True

    @abstractmethod
    def labels(self, path: PurePosixPath, split: str) -> ImageLabels:
        """What a path below the root says.

        Raises:
            DataError: The reason why it cannot be understood, without the path.
        """

    def _read(self, files: DatasetFiles, split: str, into: Collector) -> None:
        folders = self.folders[split]
        for folder in folders:
            for path in into.found(files.below(folder, split, flat=self.flat)):
                try:
                    labels = self.labels(PurePosixPath(path), split)
                except DataError as error:
                    into.reject(path, str(error))
                    continue
                below = path if len(folders) > 1 else path[len(folder) + 1 :]
                into.add(path, without_suffix(below), labels)


class ListLayout(Layout):
    """A layout whose splits are lists of images."""

    @abstractmethod
    def _entries(self, files: DatasetFiles, split: str) -> Iterator[Entry]:
        """What the lists name.

        Raises:
            DataError: A list is missing or cannot be read.
        """

    def _read(self, files: DatasetFiles, split: str, into: Collector) -> None:
        for entry in self._entries(files, split):
            reason = entry.fault or files.why_unusable(entry.path)
            if reason is not None:
                into.reject(entry.path, f"{entry.source}: {reason}")
            else:
                into.add(entry.path, entry.name, entry.labels)
