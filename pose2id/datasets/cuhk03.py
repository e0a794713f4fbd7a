"""CUHK03 in the new protocol's folders: `{labeled,detected}/bounding_box_train` and so on.

The folders have Market-1501's layout and names like `0003_c1_21.png`. `cuhk-03.mat`, as the authors
publish it, holds its pictures in one file: `pose2id init` unpacks it into these folders.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, Final

from pose2id.choices import Boxes
from pose2id.datasets.base import Official, by_split
from pose2id.datasets.collector import Collector
from pose2id.datasets.files import DatasetFiles, some_names
from pose2id.datasets.market1501 import FOLDERS, MarketNames
from pose2id.errors import DataError

BOX_FOLDERS: Final[dict[str, tuple[str, ...]]] = {
    "labelled": ("labeled", "labelled"),
    "detected": ("detected",),
}


class Cuhk03Reader(MarketNames):
    """Reads the boxes that people drew, or those that a detector found.

    Args:
        boxes: Which of them.
        common: See `Layout`.
    """

    name = "cuhk03"
    title = "CUHK03-NP"
    folders = FOLDERS
    official = by_split(
        train=Official((7_368, 7_365), (767,)),
        query=Official((1_400,), (700,)),
        gallery=Official((5_328, 5_332), (700,)),
    )
    remark = "The labelled boxes are read; dataset.options.boxes: detected for the others."

    def __init__(self, *, boxes: Boxes = "labelled", **common: Any) -> None:  # noqa: ANN401
        super().__init__(**common)
        self._boxes = boxes

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """A folder of boxes that has Market-1501's folders."""
        for folder in (name for names in BOX_FOLDERS.values() for name in names):
            inside = root / folder
            if all(some_names(inside / name) for name in ("query", "bounding_box_test")):
                return f"folders {folder}/query and {folder}/bounding_box_test"
        return None

    def _read(self, files: DatasetFiles, split: str, into: Collector) -> None:
        boxes = next((b for b in BOX_FOLDERS[self._boxes] if (files.root / b).is_dir()), None)
        if boxes is None:
            raise DataError(
                f"{files.root} has no folder {' or '.join(BOX_FOLDERS[self._boxes])}; a folder "
                "with cuhk-03.mat is unpacked by pose2id init; dataset.options.boxes chooses "
                "between labelled and detected"
            )
        (folder,) = FOLDERS[split]
        folder = f"{boxes}/{folder}"
        for path in into.found(files.below(folder, split, flat=True)):
            try:
                into.add(path, PurePosixPath(path).stem, self.labels(PurePosixPath(path), split))
            except DataError as error:
                into.reject(path, str(error))
