"""One folder per person: `<split>/<person>/.../<image>`; every split may have any name.

Where all folders are named by numbers, these are the person ids. Otherwise a person's id is the
place of the folder's name among all people of all splits, sorted: it changes when people are added.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pose2id.choices import CameraNames
from pose2id.datasets.collector import Collector, ImageLabels
from pose2id.datasets.fields import camera, person
from pose2id.datasets.file_names import printable, without_suffix
from pose2id.datasets.files import DatasetFiles, folders_in, some_names
from pose2id.datasets.layout import Layout
from pose2id.errors import DataError

_CAMERA: Final = re.compile(r"(?:^|[_-])c(?:am)?([0-9]{1,4})(?=s[0-9]|[_.-]|$)", re.IGNORECASE)


class PersonFoldersReader(Layout):
    """Reads the people of a split.

    Args:
        cameras: `names`: the camera is the number behind `c` or `cam` in the image's name, counted
            from 0 or 1 as there; `none`: cameras are unknown.
        common: See `Layout`.
    """

    name = "person_folders"
    title = "one folder per person"
    splits = ()
    cameras_from = 0
    remark = "Cameras are unknown: nothing is dropped for being of the query's own camera."

    def __init__(
        self,
        *,
        cameras: CameraNames = "none",
        **common: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(**common)
        self._cameras = cameras

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """Two folders that hold folders of images, and no image themselves."""
        good = [
            split
            for split in folders_in(root)
            if not some_names(root / split, 1)
            and (people := folders_in(root / split))
            and any(some_names(root / split / name, 1) for name in people[:5])
        ]
        return f"folders of people in {' and '.join(good)}" if len(good) > 1 else None

    @classmethod
    def found_splits(cls, root: Path) -> tuple[str, ...]:
        """One split a folder."""
        return tuple(folders_in(root))

    def _read(self, files: DatasetFiles, split: str, into: Collector) -> None:
        files.folder(split)
        pids = _pids(files.root)
        for path in into.found(files.below(split, split)):
            parts = PurePosixPath(path).parts
            if len(parts) < 3:
                into.reject(path, f"lies in {split!r} itself, not in the folder of a person")
                continue
            try:
                labels = ImageLabels(pids[parts[1]], self._camera(parts[-1]))
            except (DataError, KeyError) as error:
                into.reject(path, str(error))
                continue
            into.add(path, without_suffix("/".join(parts[1:])), labels)

    def _camera(self, name: str) -> int | None:
        if self._cameras == "none":
            return None
        match = _CAMERA.search(PurePosixPath(name).stem)
        if match is None:
            raise DataError("has no camera in its name, as in 01_c2.jpg or 01_cam2.jpg")
        return camera(match[1], first=0)


def _pids(root: Path) -> dict[str, int]:
    """Folder's name -> person id."""
    names = sorted({name for split in folders_in(root) for name in folders_in(root / split)})
    try:
        numbers = {name: person(name) for name in names}
    except DataError:
        return {name: i for i, name in enumerate(names) if printable(name) == name}
    if len(set(numbers.values())) < len(numbers):  # 1 and 01 are two folders
        return {name: i for i, name in enumerate(names)}
    return numbers
