"""Plain folders of pictures: one folder per split, no labels, no cameras."""

from __future__ import annotations

from pathlib import Path

from pose2id.datasets.collector import Collector, ImageLabels
from pose2id.datasets.file_names import without_suffix
from pose2id.datasets.files import DatasetFiles, folders_in
from pose2id.datasets.layout import Layout


class FolderReader(Layout):
    """Reads `<root>/<split>/.../<any name>.<image suffix>`; every split may have any name."""

    name = "folder"
    title = "folder of pictures"
    splits = ()
    remark = "No labels and no cameras: ranked lists, no metrics."

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """A query and a gallery; the readers that know more are asked first."""
        if {"query", "gallery"} <= set(folders_in(root)):
            return "folders query and gallery"
        return None

    @classmethod
    def found_splits(cls, root: Path) -> tuple[str, ...]:
        """One split a folder."""
        return tuple(folders_in(root))

    def _read(self, files: DatasetFiles, split: str, into: Collector) -> None:
        for path in into.found(files.below(split, split)):
            into.add(path, without_suffix(path[len(split) + 1 :]), ImageLabels())
