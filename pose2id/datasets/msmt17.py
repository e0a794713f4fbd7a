"""MSMT17, versions 1 and 2: folders of people and `list_{train,val,query,gallery}.txt`.

A list has one `path pid` a line; the third field of a name is the camera, as in
`0000/0000_000_01_0303morning_0008_0.jpg`. Person ids begin at 0 in the train lists and again in the
test lists: person 5 of `train` is not person 5 of `query`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pose2id.datasets.base import Official, by_split
from pose2id.datasets.collector import Entry, ImageLabels
from pose2id.datasets.fields import camera, misnamed, person
from pose2id.datasets.file_names import without_suffix
from pose2id.datasets.files import DatasetFiles, contents, read_lines
from pose2id.datasets.layout import ListLayout
from pose2id.errors import DataError

_FOLDERS: Final = {  # of version 1 and of version 2, whose faces are blurred
    "train": ("train", "mask_train_v2"),
    "test": ("test", "mask_test_v2"),
}


class MsmtReader(ListLayout):
    """Reads the four lists.

    Args:
        join_val: Whether `train` has the images of `list_val.txt` too, as TransReID has it;
            torchreid leaves them out.
        common: See `Layout`.
    """

    name = "msmt17"
    title = "MSMT17"
    more_splits = ("val",)
    official = by_split(
        train=Official((30_248, 32_621), (1_041,)),
        val=Official((2_373,), (1_041,)),
        query=Official((11_659,), (3_060,)),
        gallery=Official((82_161,), (3_060,)),
    )
    remark = "Person ids begin at 0 again in the test lists; 0 is a person."

    def __init__(self, *, join_val: bool = False, **common: Any) -> None:  # noqa: ANN401
        super().__init__(**common)
        self._join_val = join_val

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """The two lists of the test people beside their images."""
        lists = all((root / f"list_{name}.txt").is_file() for name in ("query", "gallery"))
        version = [f for names in _FOLDERS.values() for f in names if (root / f).is_dir()]
        if lists and version:
            return f"list_query.txt and list_gallery.txt beside {' and '.join(version)}"
        return None

    def _entries(self, files: DatasetFiles, split: str) -> Iterator[Entry]:
        part = "train" if split in ("train", "val") else "test"
        lists = ("train", "val") if split == "train" and self._join_val else (split,)
        folder = next((name for name in _FOLDERS[part] if (files.root / name).is_dir()), None)
        if folder is None:
            wanted = " or ".join(_FOLDERS[part])
            raise DataError(f"{files.root} has no folder {wanted}; it holds {contents(files.root)}")
        for name in lists:
            file = f"list_{name}.txt"
            for line, text in enumerate(read_lines(files.root / file), 1):
                yield _entry(folder, text, f"{file}, line {line}")


def _entry(folder: str, text: str, source: str) -> Entry:
    path, _, pid = text.rpartition(" ")
    fields = PurePosixPath(path).stem.split("_")
    name = without_suffix(path) if path else text
    try:
        if not path or len(fields) < 3:
            raise misnamed(path, "<pid>_<number>_<camera>_..., with the person id behind it")
        labels = ImageLabels(person(pid), camera(fields[2]))
    except DataError as error:
        return Entry(f"{folder}/{path or text}", name, ImageLabels(), source, str(error))
    return Entry(f"{folder}/{path}", name, labels, source)
