"""PRCC: `rgb/{train,val}/<pid>/{A,B,C}_*.jpg` and `rgb/test/{A,B,C}/<pid>/*.jpg`.

A, B and C are cameras; A and B see a person in the same clothes, C in others. The gallery is A.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Final

from pose2id.datasets.base import Official, by_split
from pose2id.datasets.collector import ImageLabels
from pose2id.datasets.fields import misnamed, person
from pose2id.datasets.layout import FolderLayout

_CAMERAS: Final = "ABC"


class PrccReader(FolderLayout):
    """Reads C as queries in changed clothes, B as queries in the same clothes, A as gallery."""

    name = "prcc"
    title = "PRCC"
    protocol = "prcc"
    camera_names = tuple(_CAMERAS)
    splits = ("train", "query_same", "query_changed", "gallery")
    more_splits = ("val",)
    query = "query_changed"
    folders = by_split(
        train=("rgb/train",),
        val=("rgb/val",),
        query_same=("rgb/test/B",),
        query_changed=("rgb/test/C",),
        gallery=("rgb/test/A",),
    )
    flat = False
    official = by_split(
        train=Official((17_896,), (150,)),
        val=Official((5_002,), (150,)),
        query_same=Official((3_543,), (71,)),
        query_changed=Official((3_873,), (71,)),
        gallery=Official((3_384,), (71,)),
    )
    remark = "Changed clothes are asked for; score.query: query_same for the same clothes."

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """The three folders of cameras below rgb/test."""
        if all((root / "rgb/test" / letter).is_dir() for letter in _CAMERAS):
            return "folders rgb/test/A, rgb/test/B and rgb/test/C"
        return None

    def labels(self, path: PurePosixPath, split: str) -> ImageLabels:
        """The person is the folder's name; the camera a folder or the name's first letter."""
        in_test = path.parts[1] == "test"
        letter = path.parts[2] if in_test else path.name[:1]
        if letter not in _CAMERAS or not letter:
            raise misnamed(path.stem, "A_..., B_... or C_..., as A_cropped_rgb001.jpg")
        return ImageLabels(
            person(path.parent.name), _CAMERAS.index(letter), clothes_id=int(letter == "C")
        )
