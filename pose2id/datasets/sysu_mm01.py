"""SYSU-MM01: `cam1` to `cam6`, each `<pid>/<number>.jpg`, and `exp/{train,val,test}_id.txt`.

Cameras 3 and 6 are infrared. Queries are the infrared images of the test people, the gallery their
visible ones; the protocol draws from it. A list of ids is one line with commas.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pose2id.datasets.base import Modality, Official, by_split
from pose2id.datasets.collector import Collector, ImageLabels
from pose2id.datasets.fields import person
from pose2id.datasets.files import DatasetFiles, folders_in, read_lines
from pose2id.datasets.layout import Layout
from pose2id.errors import DataError

INFRARED: Final = (3, 6)
VISIBLE: Final = (1, 2, 4, 5)


class SysuReader(Layout):
    """Reads the people of the id lists.

    Args:
        join_val: Whether `train` has the people of `val_id.txt` too, as most papers have it.
        common: See `Layout`.
    """

    name = "sysu_mm01"
    title = "SYSU-MM01"
    more_splits = ("val",)
    protocol = "sysu_mm01_all_1shot"
    official = by_split(
        train=Official((34_167,), (296, 395)),
        query=Official((3_803,), (96,)),
        gallery=Official((), (96,)),
    )
    remark = "The people of val_id.txt are joined to train (dataset.options.join_val)."

    def __init__(self, *, join_val: bool = True, **common: Any) -> None:  # noqa: ANN401
        super().__init__(**common)
        self._join_val = join_val

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """An infrared and a visible camera, and the list of test ids."""
        folders = (root / "cam1").is_dir() and (root / "cam3").is_dir()
        if folders and (root / "exp/test_id.txt").is_file():
            return "folders cam1 and cam3, and exp/test_id.txt"
        return None

    def _read(self, files: DatasetFiles, split: str, into: Collector) -> None:
        lists = {"train": ["train"], "val": ["val"]}.get(split, ["test"])
        if split == "train" and self._join_val:
            lists.append("val")
        wanted = {pid for name in lists for pid in _ids(files.root / f"exp/{name}_id.txt")}
        cameras = {"query": INFRARED, "gallery": VISIBLE}.get(split, (1, 2, 3, 4, 5, 6))
        for camera in cameras:
            if not (files.root / f"cam{camera}").is_dir():
                continue
            for name in folders_in(files.folder(f"cam{camera}")):
                folder = f"cam{camera}/{name}"
                try:
                    pid = person(name)
                except DataError:
                    into.reject(folder, "is not named by a person id, as cam1/0001")
                    continue
                if pid in wanted:
                    self._person(files, split, into, folder, pid, camera)

    def _person(
        self, files: DatasetFiles, split: str, into: Collector, folder: str, pid: int, camera: int
    ) -> None:
        modality: Modality = "infrared" if camera in INFRARED else "visible"
        labels = ImageLabels(pid, camera - 1, modality)
        for path in into.found(files.below(folder, split, flat=True)):
            into.add(path, path.rpartition(".")[0], labels)


def _ids(path: Path) -> list[int]:
    return [person(text) for line in read_lines(path) for text in line.split(",") if text.strip()]
