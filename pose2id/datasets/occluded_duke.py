"""Occluded-Duke: Market-1501's folders with DukeMTMC's names, `0019_c1_f0051230.jpg`.

The pictures are DukeMTMC's, which its authors withdrew. Counts are of the authors' lists.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pose2id.datasets.base import Official, by_split
from pose2id.datasets.files import some_names
from pose2id.datasets.market1501 import FOLDERS, MarketNames

_DUKE: Final = re.compile(r"[0-9]{4}_c[1-8]_f[0-9]{7}\.jpg")


class OccludedDukeReader(MarketNames):
    """Reads the three folders that the authors' script builds from their lists."""

    name = "occluded_duke"
    title = "Occluded-Duke"
    folders = FOLDERS
    official = by_split(
        train=Official((15_618,), (702,)),
        query=Official((2_210,), (519,)),
        gallery=Official((17_661,), (1_110,)),
    )
    remark = "Its pictures are of DukeMTMC, which its authors withdrew."

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """Market-1501's folders with DukeMTMC's names."""
        for folder in ("query", "bounding_box_test"):
            if not any(_DUKE.fullmatch(name) for name in some_names(root / folder)):
                return None
        return "folders query and bounding_box_test with names like 0019_c1_f0051230.jpg"
