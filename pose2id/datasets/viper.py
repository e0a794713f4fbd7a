"""VIPeR: `cam_a/<pid>_<angle>.bmp` and `cam_b/<pid>_<angle>.bmp`, one image per person and camera.

There is no fixed train split: the protocol `viper` draws half of the people ten times, and asks in
both directions.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Final

from pose2id.datasets.base import Official, by_split
from pose2id.datasets.collector import ImageLabels
from pose2id.datasets.fields import misnamed, person
from pose2id.datasets.files import some_names
from pose2id.datasets.layout import FolderLayout

_NAME: Final = re.compile(r"([0-9]+)_[0-9]+")


class ViperReader(FolderLayout):
    """Reads camera a as queries and camera b as gallery."""

    name = "viper"
    title = "VIPeR"
    splits = ("query", "gallery")
    protocol = "viper"
    camera_names = ("cam_a", "cam_b")
    folders = by_split(query=("cam_a",), gallery=("cam_b",))
    official = by_split(query=Official((632,), (632,)), gallery=Official((632,), (632,)))

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """The two folders by their names."""
        if some_names(root / "cam_a") and some_names(root / "cam_b"):
            return "folders cam_a and cam_b"
        return None

    def labels(self, path: PurePosixPath, split: str) -> ImageLabels:
        """Person of the name, camera of the folder."""
        match = _NAME.fullmatch(path.stem)
        if match is None:
            raise misnamed(path.stem, "<pid>_<angle>, as 001_45.bmp")
        return ImageLabels(person(match[1]), int(path.parts[0] == "cam_b"))
