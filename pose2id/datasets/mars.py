"""MARS, people in videos: `bbox_{train,test}/<pid>/0001C1T0001F001.jpg` and `info/*.mat`.

The info files say which frames are a tracklet and which tracklets are queries. Person -1 (folder
`00-1`) is junk and person 0 a distractor.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pose2id.datasets.base import Official, by_split
from pose2id.datasets.collector import Collector, ImageLabels
from pose2id.datasets.fields import camera, misnamed, person
from pose2id.datasets.files import DatasetFiles, read_lines
from pose2id.datasets.layout import Layout
from pose2id.errors import DataError

_NAME: Final = re.compile(r"([0-9]{4}|00-1)C([0-9])T([0-9]{4})F([0-9]+)\.jpg")


class MarsReader(Layout):
    """Reads the tracklets of the train people, the queries, and all other tracklets of the test."""

    name = "mars"
    title = "MARS"
    distractor_pids = (0,)
    junk_pids = (-1,)
    official = by_split(
        train=Official((509_914,), (625,), (8_298,)),
        query=Official((), (626,), (1_980,)),
        gallery=Official((), (), (9_330,)),
    )
    remark = "Its images are frames: centralize.tracklets: mean scores tracklets."

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """The folder of test images and the list of query tracklets."""
        if (root / "bbox_test").is_dir() and (root / "info/query_IDX.mat").is_file():
            return "folder bbox_test and info/query_IDX.mat"
        return None

    def _read(self, files: DatasetFiles, split: str, into: Collector) -> None:
        part = "train" if split == "train" else "test"
        folder = files.folder(f"bbox_{part}").name
        info = files.root / "info"
        names = read_lines(info / f"{part}_name.txt")
        tracks = _matrix(info / f"tracks_{part}_info.mat", f"track_{part}_info", 4)
        if split == "train":
            chosen = list(range(len(tracks)))
        else:
            asked = {int(i) - 1 for i in _matrix(info / "query_IDX.mat", "query_IDX", 0).ravel()}
            chosen = [i for i in range(len(tracks)) if (i in asked) == (split == "query")]
        for i in chosen:
            first, last = int(tracks[i][0]), int(tracks[i][1])
            if not 1 <= first <= last <= len(names):
                raise DataError(
                    f"tracklet {i + 1} has the frames {first} to {last}, but info/{part}_name.txt "
                    f"has {len(names)} lines: the info files do not belong together"
                )
            for name in names[first - 1 : last]:
                _add(files, into, folder, name, f"{i + 1:05d}")


def _add(files: DatasetFiles, into: Collector, folder: str, name: str, track: str) -> None:
    match = _NAME.fullmatch(name)
    path = f"{folder}/{name[:4]}/{name}"
    try:
        if match is None:
            raise misnamed(name, "<pid>C<camera>T<tracklet>F<frame>.jpg")
        pid = -1 if match[1] == "00-1" else person(match[1])
        labels = ImageLabels(pid, camera(match[2]), tracklet_id=track)
    except DataError as error:
        into.reject(path, str(error))
        return
    reason = files.why_unusable(path)
    if reason is not None:
        into.reject(path, reason)
    else:
        into.add(path, path.rpartition(".")[0].partition("/")[2], labels)


def _matrix(path: Path, variable: str, columns: int) -> NDArray[Any]:
    """A table of numbers of a MATLAB file, checked for its width."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        table = np.asarray(loadmat(path)[variable])
    except (OSError, KeyError, ValueError, TypeError, NotImplementedError, MatReadError) as error:
        raise DataError(f"{path} has no table {variable!r} that can be read: {error}") from error
    if not np.issubdtype(table.dtype, np.number) or (
        columns and (table.ndim != 2 or table.shape[1] != columns)
    ):
        raise DataError(f"{path}: {variable} must have {columns or 'any'} columns of numbers")
    return table
