"""The Market-1501 layout: labels in file names, one folder per split.

`0002_c1s1_000451_03.jpg` is person 2 seen by camera 1 (0 here) in sequence 1. Many datasets are
published or converted in this layout, also with shorter names such as `0002_c1_000451.jpg`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Final

from pose2id.datasets.base import ImageRecord, Listing, RejectedFile
from pose2id.datasets.files import finish, split_folder, usable_files
from pose2id.errors import DataError

FOLDERS: Final = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}

_NAME: Final = re.compile(r"(-1|[0-9]{1,9})_c([1-9][0-9]{0,3})(?:s[0-9]+)?(?:_[\w.-]+)?")


class MarketReader:
    """Reads the splits `train`, `query` and `gallery`.

    Args:
        distractor_pids: Person ids that mark gallery images which match no query. Market-1501
            uses 0; where 0 is a person like any other, give an empty collection.
        junk_pids: Person ids whose images are counted and left out.
    """

    def __init__(
        self, distractor_pids: Collection[int] = (0,), junk_pids: Collection[int] = (-1,)
    ) -> None:
        self._distractor_pids = frozenset(distractor_pids)
        self._junk_pids = frozenset(junk_pids)

    def read_split(self, root: Path, split: str) -> Listing:
        """Lists one split; see `pose2id.datasets.base.DatasetReader`."""
        if split not in FOLDERS:
            raise DataError(f"the Market-1501 layout has no split {split!r}; it has {[*FOLDERS]}")
        paths, rejects = usable_files(root, split_folder(root, FOLDERS[split]), split)
        records: list[ImageRecord] = []
        n_junk = 0
        for path in paths:
            stem = PurePosixPath(path).stem
            match = _NAME.fullmatch(stem)
            if match is None:
                reason = "is not named <pid>_c<camera>[s<sequence>]_..., as 0002_c1s1_000451_03.jpg"
                rejects.append(RejectedFile(path, split, reason))
                continue
            pid, camid = int(match[1]), int(match[2]) - 1
            if pid in self._junk_pids:
                n_junk += 1
            elif pid < 0:
                reason = f"has person id {pid}, which is not listed as junk"
                rejects.append(RejectedFile(path, split, reason))
            elif split == "query" and pid in self._distractor_pids:
                reason = (
                    f"is a query of person {pid}, which is listed as a distractor; if {pid} is a "
                    "person here, take it out of dataset.distractor_pids"
                )
                rejects.append(RejectedFile(path, split, reason))
            else:
                distractor = split == "gallery" and pid in self._distractor_pids
                records.append(
                    ImageRecord(f"{split}/{stem}", path, split, pid, camid, distractor=distractor)
                )
        return finish(records, rejects, n_junk)
