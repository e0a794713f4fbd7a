"""The folders of the method's authors: `<split folder>_gen/pose<id>/<name>.jpg`.

Market-1501's names are used for its three splits, so that the authors' TransReID demo finds the
pictures beside the originals. A `labels.csv` per split carries what file names may not.
"""

from __future__ import annotations

import csv
from pathlib import Path

from tasks.exporting.source import Advance, SplitPictures, write_bytes
from tasks.tables.synthetic_mark import to_jpeg

FOLDER_OF = {
    "train": "bounding_box_train_gen",
    "query": "query_gen",
    "gallery": "bounding_box_test_gen",
}
LABEL_COLUMNS = ("file", "image_id", "pose_id", "pid", "camid", "label", "distractor", "accepted")


def write(target: Path, pictures: SplitPictures, advance: Advance) -> int:
    """Writes one split as marked JPEG files at their stored size.

    Args:
        target: The export's folder.
        pictures: The split's pictures.
        advance: Called with the number of pictures just written.

    Returns:
        The number of pictures.
    """
    folder = target / FOLDER_OF.get(pictures.split, f"{pictures.split}_gen")
    folder.mkdir()
    n_written = 0
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        labels = csv.DictWriter(file, LABEL_COLUMNS, extrasaction="ignore", lineterminator="\n")
        labels.writeheader()
        for picture in pictures:
            path = folder / f"pose{picture.pose_id}" / f"{picture.stem}.jpg"
            path.parent.mkdir(exist_ok=True)
            write_bytes(path, to_jpeg(picture.data, picture.file_format, picture.mark))
            labels.writerow({"file": path.relative_to(folder).as_posix(), **picture.facts()})
            n_written += 1
            advance(1)
    return n_written
