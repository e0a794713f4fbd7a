"""DeepChange: `{train-set,val-set-query,...}/` with a list `<folder>-bbox.txt` each.

A list has one `name,tracklet` a line; a name begins with person, camera and outfit, as in
`P12_C03_a2_0001.jpg`. Outfits are numbered per person, by their names in all lists. The protocol
drops images of the query's own track, not of its camera: the track is also the `group`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from pose2id.datasets.base import Official, by_split
from pose2id.datasets.collector import Entry, ImageLabels
from pose2id.datasets.fields import LARGEST_ID, camera, misnamed, number, outfit_numbers, person
from pose2id.datasets.file_names import without_suffix
from pose2id.datasets.files import DatasetFiles, read_lines
from pose2id.datasets.layout import ListLayout
from pose2id.errors import DataError

_NAME: Final = re.compile(r"P([0-9]+)_C([0-9]+)_([A-Za-z0-9-]+)(?:_.*)?")
_FOLDERS: Final = {
    "train": "train-set",
    "val_query": "val-set-query",
    "val_gallery": "val-set-gallery",
    "query": "test-set-query",
    "gallery": "test-set-gallery",
}


class DeepChangeReader(ListLayout):
    """Reads the five lists."""

    name = "deepchange"
    title = "DeepChange"
    protocol = "tracklet"
    more_splits = ("val_query", "val_gallery")
    official = by_split(
        train=Official((75_083,), (450,)),
        val_query=Official((4_976,), (150,)),
        val_gallery=Official((17_865,), (150,)),
        query=Official((17_527,), (521,)),
        gallery=Official((62_956,), (521,)),
    )

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """The lists of the test people beside their folders."""
        names = ("test-set-query", "test-set-gallery")
        if all((root / n).is_dir() and (root / f"{n}-bbox.txt").is_file() for n in names):
            return "test-set-query and test-set-gallery with their lists ...-bbox.txt"
        return None

    def _entries(self, files: DatasetFiles, split: str) -> Iterator[Entry]:
        folder = _FOLDERS[split]
        outfits = _outfits(files.root)
        file = f"{folder}-bbox.txt"
        for line, text in enumerate(read_lines(files.root / file), 1):
            image, _, track = (part.strip() for part in text.partition(","))
            path, name = f"{folder}/{image}", without_suffix(image)
            source = f"{file}, line {line}"
            try:
                yield Entry(path, name, _labels(PurePosixPath(image).stem, track, outfits), source)
            except DataError as error:
                yield Entry(path, name, ImageLabels(), source, str(error))


def _labels(stem: str, track: str, outfits: dict[tuple[str, str], int]) -> ImageLabels:
    match = _NAME.fullmatch(stem)
    if match is None:
        raise misnamed(stem, "P<pid>_C<camera>_<clothes>_...")
    track = str(number(track, "tracklet", LARGEST_ID))
    clothes = outfits[match[1], match[3]]
    return ImageLabels(
        person(match[1]), camera(match[2]), clothes_id=clothes, tracklet_id=track, group=track
    )


def _outfits(root: Path) -> dict[tuple[str, str], int]:
    """(person, outfit) as written in any of the lists -> number of the outfit."""
    lists = [root / f"{folder}-bbox.txt" for folder in _FOLDERS.values()]
    names = (
        PurePosixPath(text.partition(",")[0].strip()).stem
        for path in lists
        if path.is_file()
        for text in read_lines(path)
    )
    matches = (_NAME.fullmatch(name) for name in names)
    return outfit_numbers((match[1], match[3]) for match in matches if match)
