"""VeRi-776, vehicles: `image_{train,query,test}/0002_c002_00030600_0.jpg`."""

from __future__ import annotations

from pathlib import Path

from pose2id.datasets.base import Official, by_split
from pose2id.datasets.market1501 import MarketNames


class VeriReader(MarketNames):
    """Reads the vehicles' three folders; names are Market-1501's with three-digit cameras."""

    name = "veri776"
    title = "VeRi-776"
    folders = by_split(
        train=("image_train",),
        query=("image_query",),
        gallery=("image_test",),
    )
    official = by_split(
        train=Official((37_778,), (576,)),
        query=Official((1_678,), (200,)),
        gallery=Official((11_579,), (200,)),
    )
    remark = "The generator draws people: use the variants without drawings for vehicles."

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """The three folders by their names."""
        if all((root / name).is_dir() for name in ("image_query", "image_test")):
            return "folders image_query and image_test"
        return None
