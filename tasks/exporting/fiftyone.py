"""FiftyOne's image classification layout: `<split>/data/` and `<split>/labels.json`.

Read it with `fiftyone.Dataset.from_dir(dataset_dir=".../<split>",
dataset_type=fiftyone.types.FiftyOneImageClassificationDataset)`.
"""

from __future__ import annotations

import json
from pathlib import Path

from tasks.exporting.source import Advance, SplitPictures, write_bytes

UNLABELLED = "unlabelled"


def write(target: Path, pictures: SplitPictures, advance: Advance) -> int:
    """Writes one split; the label is the person id as text, every other fact an attribute.

    The number of the person, elsewhere `label`, is `class_number`: FiftyOne has the name `label`.

    Args:
        target: The export's folder.
        pictures: The split's pictures.
        advance: Called with the number of pictures just written.

    Returns:
        The number of pictures.
    """
    folder = target / pictures.split
    (folder / "data").mkdir(parents=True)
    labels: dict[str, object] = {}
    for picture in pictures:
        name = picture.flat_name
        write_bytes(folder / "data" / f"{name}.{picture.suffix}", picture.marked())
        facts = picture.facts()
        pid, facts["class_number"] = facts.pop("pid"), facts.pop("label")
        attributes = {key: value for key, value in facts.items() if value is not None}
        labels[name] = {
            "label": UNLABELLED if pid is None else str(pid),
            "attributes": attributes,
        }
        advance(1)
    text = json.dumps({"labels": labels}, sort_keys=True)
    (folder / "labels.json").write_text(text, encoding="utf-8")
    return len(labels)
