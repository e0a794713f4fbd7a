"""VC-Clothes, rendered people: `{train,query,gallery}/<pid>-<camera>-<clothes>-<number>.jpg`."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Final

from pose2id.datasets.base import Official, by_split
from pose2id.datasets.collector import ImageLabels
from pose2id.datasets.fields import LARGEST_ID, camera, misnamed, number, person
from pose2id.datasets.files import folders_of_names
from pose2id.datasets.layout import FolderLayout

_NAME: Final = re.compile(r"([0-9]+)-([0-9]+)-([0-9]+)-([0-9]+)")


class VcClothesReader(FolderLayout):
    """Reads the three folders; outfits are numbered per person."""

    name = "vc_clothes"
    title = "VC-Clothes"
    protocol = "clothes_general"
    folders = by_split(train=("train",), query=("query",), gallery=("gallery",))
    official = by_split(
        train=Official((9_449,), (256,)),
        query=Official((1_020,), (256,)),
        gallery=Official((8_591,), (256,)),
    )
    remark = (
        "Its papers report same clothes among cameras 2 and 3 and changed clothes among 3 and 4; "
        "here all cameras are read."
    )

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """Names of four numbers."""
        return folders_of_names(root, ("query", "gallery"), _NAME, "0001-02-03-04.jpg")

    def labels(self, path: PurePosixPath, split: str) -> ImageLabels:
        """Person, camera and outfit of a name."""
        match = _NAME.fullmatch(path.stem)
        if match is None:
            raise misnamed(path.stem, "<pid>-<camera>-<clothes>-<number>, as 0001-02-03-04.jpg")
        clothes = number(match[3], "clothes", LARGEST_ID)
        return ImageLabels(person(match[1]), camera(match[2]), clothes_id=clothes)
