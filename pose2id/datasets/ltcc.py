"""LTCC: `{train,query,test}/<pid>_<clothes>_c<camera>_<frame>.png`."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Final

from pose2id.datasets.base import Official, by_split
from pose2id.datasets.collector import ImageLabels
from pose2id.datasets.fields import LARGEST_ID, camera, misnamed, number, person
from pose2id.datasets.files import folders_of_names
from pose2id.datasets.layout import FolderLayout

_NAME: Final = re.compile(r"([0-9]+)_([0-9]+)_c([0-9]+)_[\w.-]+")


class LtccReader(FolderLayout):
    """Reads the three folders; outfits are numbered per person."""

    name = "ltcc"
    title = "LTCC"
    protocol = "clothes_changed"
    folders = by_split(train=("train",), query=("query",), gallery=("test",))
    official = by_split(
        train=Official((9_576,), (77,)),
        query=Official((493,), (75,)),
        gallery=Official((7_050,), (75,)),
    )

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """Names of person, outfit and camera."""
        return folders_of_names(root, ("query", "test"), _NAME, "094_1_c9_015833.png")

    def labels(self, path: PurePosixPath, split: str) -> ImageLabels:
        """Person, outfit and camera of a name."""
        match = _NAME.fullmatch(path.stem)
        if match is None:
            raise misnamed(path.stem, "<pid>_<clothes>_c<camera>_<frame>, as 094_1_c9_015833.png")
        clothes = number(match[2], "clothes", LARGEST_ID)
        return ImageLabels(person(match[1]), camera(match[3]), clothes_id=clothes)
