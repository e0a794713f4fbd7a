"""Plain folders of pictures: one folder per split, no labels, no cameras."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from pose2id.datasets.base import ImageRecord, Listing
from pose2id.datasets.files import finish, split_folder, usable_files


class FolderReader:
    """Reads `<root>/<split>/<any name>.<image suffix>`; every split may have any name."""

    def read_split(self, root: Path, split: str) -> Listing:
        """Lists one split; see `pose2id.datasets.base.DatasetReader`."""
        paths, rejects = usable_files(root, split_folder(root, split), split)
        records = [
            ImageRecord(f"{split}/{PurePosixPath(path).stem}", path, split, pid=None, camid=None)
            for path in paths
        ]
        return finish(records, rejects)
