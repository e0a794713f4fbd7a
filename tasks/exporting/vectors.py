"""Features as `.npy` or `.pt`, with ids as JSON; nothing here needs unpickling.

`raw` is what the network gave for originals (pose -1) and generated pictures; the other names are
the L2-normalised variants that were scored.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.tables.schema import Layout
from tasks.tables.store import read_table
from tasks.tables.store import vectors as read_vectors

RAW = "raw"


def write_npy(target: Path, layout: Layout, split: str, features: str) -> int:
    """Writes `<split>.npy`, `(N, D) float32`, and `<split>.json` with N ids and labels.

    Args:
        target: The export's folder.
        layout: Where the tables are.
        split: Name of the split.
        features: `raw` or the name of a variant.

    Returns:
        The number of rows.
    """
    rows, ids = load(layout, split, features)
    np.save(target / f"{split}.npy", rows, allow_pickle=False)
    text = json.dumps(ids, ensure_ascii=False)
    (target / f"{split}.json").write_text(text, encoding="utf-8")
    return len(rows)


def write_pt(target: Path, layout: Layout, split: str, features: str) -> int:
    """Writes `<split>.pt`: a dictionary for `torch.load(path, weights_only=True)`.

    It holds `features` `(N, D) float32` and the lists of ids and labels.

    Args:
        target: The export's folder.
        layout: Where the tables are.
        split: Name of the split.
        features: `raw` or the name of a variant.

    Returns:
        The number of rows.
    """
    import torch

    rows, ids = load(layout, split, features)
    torch.save({"features": torch.tensor(rows), **ids}, target / f"{split}.pt")
    return len(rows)


def load(
    layout: Layout, split: str, features: str
) -> tuple[NDArray[np.float32], dict[str, list[Any]]]:
    """Features `(N, D) float32` and the columns image_id, pose_id (raw only), pid, camid.

    Raises:
        DataError: The tables are not there.
    """
    if features == RAW:
        table = read_table(layout.features(split), ["image_id", "pose_id", "feature"])
        table = table.sort_by([("image_id", "ascending"), ("pose_id", "ascending")])
    else:
        table = read_table(
            layout.centralized(split) / f"{features}.parquet", ["image_id", "feature"]
        )
    index = read_table(layout.index(split), ["image_id", "pid", "camid"]).to_pylist()
    labels = {row["image_id"]: row for row in index}
    image_ids = table.column("image_id").to_pylist()
    ids = {"image_id": image_ids}
    if features == RAW:
        ids["pose_id"] = table.column("pose_id").to_pylist()
    for name in ("pid", "camid"):
        ids[name] = [labels[image_id][name] for image_id in image_ids]
    return read_vectors(table), ids
