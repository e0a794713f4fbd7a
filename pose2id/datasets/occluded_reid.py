"""Occluded-REID: `{occluded,whole}_body_images/<pid>/<pid>_*.tif`, 200 people, no train split.

There are no cameras; occluded images get camera 0 and whole ones camera 1, so that the usual
protocol drops nothing.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Final

from pose2id.datasets.base import Official, by_split
from pose2id.datasets.collector import ImageLabels
from pose2id.datasets.fields import person
from pose2id.datasets.layout import FolderLayout

OCCLUDED: Final = "occluded_body_images"
WHOLE: Final = "whole_body_images"


def both_folders(root: Path) -> str | None:
    """The two folders by their names."""
    if (root / OCCLUDED).is_dir() and (root / WHOLE).is_dir():
        return f"folders {OCCLUDED} and {WHOLE}"
    return None


class OccludedOrWhole(FolderLayout):
    """Layouts of occluded and whole people, one folder per person."""

    flat = False
    camera_names = ("occluded", "whole")
    protocol = "none"

    def labels(self, path: PurePosixPath, split: str) -> ImageLabels:
        """The person is the name of the image's folder."""
        return ImageLabels(person(path.parent.name), int(WHOLE in path.parts))


class OccludedReidReader(OccludedOrWhole):
    """Reads the occluded people as queries and the whole ones as gallery."""

    name = "occluded_reid"
    title = "Occluded-REID"
    splits = ("query", "gallery")
    folders = by_split(query=(OCCLUDED,), gallery=(WHOLE,))
    official = by_split(query=Official((1_000,), (200,)), gallery=Official((1_000,), (200,)))

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """The two folders by their names."""
        return both_folders(root)
