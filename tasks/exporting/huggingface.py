"""A Hugging Face dataset: Parquet files with an Image column, and a card that names the splits.

`datasets.load_dataset(folder)` reads it from disk. The `datasets` package is not needed to write
it: its column types are a JSON text in the Parquet schema.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tasks.exporting.source import Advance, Picture, SplitPictures, in_chunks
from tasks.tables.params import DatasetParams

PICTURES_PER_FILE = 2000
PICTURES_PER_ROW_GROUP = 200  # a reader takes a whole group at a time

_TYPES = {
    "image_id": ("string", pa.string()),
    "pose_id": ("int16", pa.int16()),
    "pid": ("int32", pa.int32()),
    "camid": ("int16", pa.int16()),
    "label": ("int32", pa.int32()),
    "distractor": ("bool", pa.bool_()),
    "modality": ("string", pa.string()),
    "clothes_id": ("int32", pa.int32()),
    "source_path": ("string", pa.string()),
    "width_px": ("int32", pa.int32()),
    "height_px": ("int32", pa.int32()),
    "accepted": ("bool", pa.bool_()),
    "reasons": ("string", pa.string()),
    "synthetic": ("bool", pa.bool_()),
    "generator": ("string", pa.string()),
    "seed": ("string", pa.string()),
    "key": ("string", pa.string()),
}
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

# Licences that the hub has a tag for; any other is given by its name.
_HUB_LICENCES = ("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0")


def write(target: Path, pictures: SplitPictures, advance: Advance) -> int:
    """Writes one split as `data/<split>-<number>.parquet`.

    Args:
        target: The export's folder.
        pictures: The split's pictures.
        advance: Called with the number of pictures just written.

    Returns:
        The number of pictures.
    """
    (target / "data").mkdir(exist_ok=True)
    split = hub_split(pictures.split)
    n_written = 0
    for number, chunk in enumerate(in_chunks(pictures, PICTURES_PER_FILE)):
        path = target / "data" / f"{split}-{number:05d}.parquet"
        table = pa.Table.from_pylist([_row(picture) for picture in chunk], schema=_schema())
        pq.write_table(table, path, compression="zstd", row_group_size=PICTURES_PER_ROW_GROUP)
        n_written += len(chunk)
        advance(len(chunk))
    return n_written


def hub_split(split: str) -> str:
    """The split's name as the hub allows it, without hyphens."""
    return split.replace("-", "_")


def write_card(target: Path, dataset: DatasetParams, counts: dict[str, int]) -> None:
    """Writes the README.md that tells `datasets` the splits and people what this is.

    Args:
        target: The export's folder.
        dataset: Name, licence and status of the originals.
        counts: Number of pictures per split.
    """
    licence = dataset.licence.lower()
    known = licence in _HUB_LICENCES
    head = {
        "pretty_name": f"{dataset.name}, re-drawn in standard poses",
        "license": licence if known else "other",
        **({} if known else {"license_name": dataset.licence}),
        "task_categories": ["image-feature-extraction"],
        "tags": ["person-re-identification", "synthetic"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": hub_split(split), "path": f"data/{hub_split(split)}-*.parquet"}
                    for split, count in counts.items()
                    if count
                ],
            }
        ],
    }
    rows = "\n".join(f"| {split} | {count} |" for split, count in counts.items())
    text = f"""---
{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---

# {dataset.name}, re-drawn in standard poses

Every picture is **generated**: the person of one source image, drawn in one pose. None is a
photograph, and each says so in its own metadata. The originals are not part of this export.

| split | pictures |
|---|---|
{rows}

- `image_id` names the source image and `source_path` its file below the dataset's root.
- `pid` is the source's person id; `label` numbers the persons of a split from 0, for training.
- `accepted` and `reasons` are the verdict of the quality gates.
- `generator`, `seed` and `key` say what made a picture.

Licence of the originals, which these pictures derive from: {dataset.licence}
(status: {dataset.status}).
"""
    (target / "README.md").write_text(text, encoding="utf-8")


def _schema() -> pa.Schema:
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    features |= {name: {"dtype": hub, "_type": "Value"} for name, (hub, _) in _TYPES.items()}
    fields = [("image", _IMAGE), *((name, arrow) for name, (_, arrow) in _TYPES.items())]
    return pa.schema(fields, {"huggingface": json.dumps({"info": {"features": features}})})


def _row(picture: Picture) -> dict[str, Any]:
    image = {"bytes": picture.marked(), "path": f"{picture.flat_name}.{picture.suffix}"}
    return {"image": image, **picture.facts()}
