"""CCVID, people in videos: `{train,query,gallery}.txt` = `session1/001_01 pid clothes`.

Each line is a folder of frames, one tracklet. The second number of its name is the camera; those of
session 3 are twelve further ones.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pose2id.datasets.base import Official, by_split
from pose2id.datasets.collector import Collector, ImageLabels
from pose2id.datasets.fields import camera, outfit_numbers, person
from pose2id.datasets.file_names import without_suffix
from pose2id.datasets.files import DatasetFiles, read_lines
from pose2id.datasets.layout import Layout
from pose2id.errors import DataError

_TRACK: Final = re.compile(r"(session[0-9]+)/([0-9]+)_([0-9]+)")
_SESSION_3_CAMERAS: Final = 12


class CcvidReader(Layout):
    """Reads the three lists; an outfit's number is its place among a person's, sorted."""

    name = "ccvid"
    title = "CCVID"
    protocol = "clothes_changed"
    official = by_split(
        train=Official((), (75,), (948,)),
        query=Official((), (151,), (834,)),
        gallery=Official((), (151,), (1_074,)),
    )
    remark = "Its images are frames: centralize.tracklets: mean scores tracklets."

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """A list of tracklets."""
        try:
            first = read_lines(root / "query.txt")[0].split()
        except (DataError, IndexError):
            return None
        if len(first) == 3 and _TRACK.fullmatch(first[0]):
            return "query.txt with lines like session1/001_01 001 u0_l0_s0_c0_a0"
        return None

    def _read(self, files: DatasetFiles, split: str, into: Collector) -> None:
        outfits = self._outfits(files.root)
        for line, text in enumerate(read_lines(files.root / f"{split}.txt"), 1):
            try:
                track, labels = _labels(text, outfits)
                frames = into.found(files.below(track, split, flat=True))
            except DataError as error:
                into.reject(text.split()[0], f"{split}.txt, line {line}: {error}")
                continue
            for path in frames:
                into.add(path, without_suffix(path), labels)

    def _outfits(self, root: Path) -> dict[tuple[str, str], int]:
        """(person, outfit) as written in any of the lists -> number of the outfit."""
        lists = [root / f"{split}.txt" for split in self.splits]
        lines = [text.split() for path in lists if path.is_file() for text in read_lines(path)]
        return outfit_numbers((line[1], line[2]) for line in lines if len(line) == 3)


def _labels(text: str, outfits: dict[tuple[str, str], int]) -> tuple[str, ImageLabels]:
    fields = text.split()
    match = _TRACK.fullmatch(fields[0])
    if len(fields) != 3 or match is None:
        raise DataError("is not <session>/<number>_<camera> pid clothes")
    later = _SESSION_3_CAMERAS if match[1] == "session3" else 0
    return fields[0], ImageLabels(
        person(fields[1]),
        camera(match[3]) + later,
        clothes_id=outfits[fields[1], fields[2]],
        tracklet_id=fields[0],
    )
