"""LaST, people in films: `train/<pid>/`, `{val,test}/query/` and `{val,test}/gallery/<pid>/`.

Names begin with the person; in the train split they end with the outfit. There are no cameras, so
nothing is dropped.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Final

from pose2id.datasets.base import Official, by_split
from pose2id.datasets.collector import ImageLabels
from pose2id.datasets.fields import LARGEST_ID, misnamed, number, person
from pose2id.datasets.files import some_names
from pose2id.datasets.layout import FolderLayout

_NAME: Final = re.compile(r"([0-9]+)_(?:[\w-]+_)?([0-9]+)")


class LastReader(FolderLayout):
    """Reads the five folders; outfits are known in the train split alone."""

    name = "last"
    title = "LaST"
    protocol = "none"
    more_splits = ("val_query", "val_gallery")
    folders = by_split(
        train=("train",),
        val_query=("val/query",),
        val_gallery=("val/gallery",),
        query=("test/query",),
        gallery=("test/gallery",),
    )
    flat = False
    official = by_split(
        train=Official((71_248,), (5_000,)),
        val_query=Official((100,)),
        val_gallery=Official((21_279,)),
        query=Official((10_176,)),
        gallery=Official((125_353,)),
    )

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """Queries in a flat folder, the gallery in one folder a person."""
        queries = some_names(root / "test/query")
        named = any(_NAME.fullmatch(PurePosixPath(name).stem) for name in queries)
        if named and (root / "test/gallery").is_dir() and (root / "train").is_dir():
            return "folders train, test/query and test/gallery with names like 000001_01_1.jpg"
        return None

    def labels(self, path: PurePosixPath, split: str) -> ImageLabels:
        """Person and, in the train split, outfit of a name."""
        match = _NAME.fullmatch(path.stem)
        if match is None:
            raise misnamed(path.stem, "<pid>_..._<clothes>, as 000001_01_1.jpg")
        clothes = number(match[2], "clothes", LARGEST_ID) if split == "train" else None
        return ImageLabels(person(match[1]), clothes_id=clothes)
