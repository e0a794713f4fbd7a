"""The Market-1501 layout: labels in file names, one folder per split.

`0002_c1s1_000451_03.jpg` is person 2 seen by camera 1 (0 here) in sequence 1. Many datasets are
published or converted in this layout, also with shorter names such as `0002_c1_000451.jpg` and
with zero-padded cameras such as `0002_c002_000451.jpg`.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Final

from pose2id.datasets.base import Official, by_split
from pose2id.datasets.collector import ImageLabels
from pose2id.datasets.fields import camera, misnamed, person
from pose2id.datasets.files import folders_of_names
from pose2id.datasets.layout import FolderLayout

NAME: Final = re.compile(r"(-1|[0-9]+)_c([0-9]+)(?:s[0-9]+)?(?:_[\w.-]+)?")
FOLDERS: Final = {
    "train": ("bounding_box_train",),
    "query": ("query",),
    "gallery": ("bounding_box_test",),
}


class MarketNames(FolderLayout):
    """Layouts whose names are Market-1501's."""

    def labels(self, path: PurePosixPath, split: str) -> ImageLabels:
        """Person and camera of a name."""
        match = NAME.fullmatch(path.stem)
        if match is None:
            raise misnamed(
                path.stem, "<pid>_c<camera>[s<sequence>]_..., as 0002_c1s1_000451_03.jpg"
            )
        return ImageLabels(person(match[1]), camera(match[2]))


class MarketReader(MarketNames):
    """Reads `bounding_box_train`, `query` and `bounding_box_test`."""

    name = "market1501"
    title = "Market-1501"
    folders = FOLDERS
    distractor_pids = (0,)
    junk_pids = (-1,)
    shared = True
    official = by_split(
        train=Official((12_936,), (751,)),
        query=Official((3_368,), (750,)),
        gallery=Official((15_913,), (751,)),
    )

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """Both test folders, with names like `0002_c1s1_000451_03.jpg`."""
        return folders_of_names(
            root, ("query", "bounding_box_test"), NAME, "0002_c1s1_000451_03.jpg"
        )
