"""Celeb-reID and Celeb-reID-light: `{train,query,gallery}/<pid>_<number>_<part>.jpg`.

The second number counts a person's pictures. Loaders use it in place of a camera, which drops no
picture, because no number of a person is in both query and gallery; here the camera is unknown.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Final

from pose2id.datasets.base import Official, by_split
from pose2id.datasets.collector import ImageLabels
from pose2id.datasets.fields import misnamed, person
from pose2id.datasets.files import folders_of_names
from pose2id.datasets.layout import FolderLayout

_NAME: Final = re.compile(r"([0-9]+)_([0-9]+)_([0-9]+)")


class CelebReidReader(FolderLayout):
    """Reads the three folders."""

    name = "celeb_reid"
    title = "Celeb-reID"
    protocol = "none"
    folders = by_split(train=("train",), query=("query",), gallery=("gallery",))
    official = by_split(
        train=Official((20_208, 9_021), (632, 490)),
        query=Official((2_972, 887), (420, 100)),
        gallery=Official((11_006, 934), (420, 100)),
    )

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """Names of three numbers."""
        return folders_of_names(root, ("query", "gallery"), _NAME, "1_12_0.jpg")

    def labels(self, path: PurePosixPath, split: str) -> ImageLabels:
        """The person of a name."""
        match = _NAME.fullmatch(path.stem)
        if match is None:
            raise misnamed(path.stem, "<pid>_<number>_<part>, as 1_12_0.jpg")
        return ImageLabels(person(match[1]))
