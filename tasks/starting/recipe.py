"""The way out for a folder that no layout fits: a table of its images, to be filled in."""

from __future__ import annotations

import csv
from pathlib import Path

from pose2id.datasets.manifest import ONE_TABLE
from pose2id.errors import DataError
from tasks.starting.survey import images_below
from tasks.tables.store import atomic_path

COLUMNS = ("path", "split", "pid", "camid")


def write_recipe(folder: Path, target: Path) -> str:
    """Lists the images of a folder in a table and says what to do with it.

    Where every image lies in one folder of its own kind, `<person>/<image>`, the people are
    numbered by their folders and filled in.

    Args:
        folder: The folder that was not recognised.
        target: The CSV file to write.

    Returns:
        What to do, in words.

    Raises:
        DataError: The folder has no image.
    """
    paths = sorted(path for path in images_below(folder) if path.isprintable())
    if not paths:
        raise DataError(f"{folder} holds no images; name the folder that a dataset was unpacked to")
    folders = sorted({path.rpartition("/")[0] for path in paths})
    people = all(path.count("/") == 1 for path in paths) and len(folders) > 1
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as fresh, fresh.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for path in paths:
            pid = folders.index(path.rpartition("/")[0]) if people else ""
            writer.writerow((path, "", pid, ""))
    filled = "the people are filled in, one per folder; " if people else ""
    return (
        f"no layout fits {folder}; docs/datasets.md shows those that are known.\n"
        f"A table of its {len(paths):,} images is in {target}. To use it:\n"
        f"  1. fill in split (query, gallery or train for each image) and, where you know them, "
        f"pid (the person, a number) and camid (the camera, from 0); {filled}rows that you delete "
        "are not used\n"
        f"  2. save it as {folder / ONE_TABLE} (CSV; Excel's 'CSV UTF-8' will do)\n"
        f"  3. run pose2id init {folder} again"
    )
