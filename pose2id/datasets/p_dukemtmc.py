"""P-DukeMTMC: `{train,test}/{occluded,whole}_body_images/<pid>/*.jpg`.

The pictures are DukeMTMC's, which its authors withdrew. Occluded images get camera 0 and whole
ones camera 1, as its loaders have it; the real cameras in the names are not used.
"""

from __future__ import annotations

from pathlib import Path

from pose2id.datasets.base import Official, by_split
from pose2id.datasets.occluded_reid import OCCLUDED, WHOLE, OccludedOrWhole, both_folders


class PDukeReader(OccludedOrWhole):
    """Reads both kinds of the train people; of the test people occluded queries, whole gallery."""

    name = "p_dukemtmc"
    title = "P-DukeMTMC"
    folders = by_split(
        train=(f"train/{OCCLUDED}", f"train/{WHOLE}"),
        query=(f"test/{OCCLUDED}",),
        gallery=(f"test/{WHOLE}",),
    )
    official = by_split(
        train=Official((12_927,), (665,)),
        query=Official((2_163,), (634,)),
        gallery=Official((9_053,), (634,)),
    )
    remark = "Its pictures are of DukeMTMC, which its authors withdrew."

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """The two folders of the test people by their names."""
        return both_folders(root / "test")
