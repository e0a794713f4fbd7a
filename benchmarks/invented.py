"""Projects of invented people, as the stages of a benchmark find them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray
from PIL import Image

from tasks.tables import schema
from tasks.tables.schema import Layout
from tasks.tables.store import write_table


def write_params(root: Path, **sections: object) -> None:
    """Writes the parameters of a query and a gallery.

    Args:
        root: The project's root folder.
        sections: What differs from the defaults; the one variant is `base` unless given.
    """
    dataset = {
        "name": "invented",
        "reader": "market1501",
        "root": "images",
        "licence": "CC0-1.0",
        "status": "open",
    }
    params = {"splits": ["query", "gallery"], "dataset": dataset, "variants": {"base": []}}
    (root / "params.yaml").write_text(yaml.safe_dump(params | sections), encoding="utf-8")


def write_picture(path: Path) -> str:
    """Writes the only picture that there is, and returns its hex sha256."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 128), "teal").save(buffer, format="png")
    path.parent.mkdir(parents=True)
    path.write_bytes(buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def write_index(
    layout: Layout,
    split: str,
    ids: Sequence[str],
    digests: Sequence[str],
    pids: NDArray[np.int64],
    camids: NDArray[np.int64],
) -> None:
    """Writes a split's index and an empty table of rejects; image `x` is the file `x.png`.

    Args:
        layout: The project's tables.
        split: Name of the split.
        ids: Of N images, ascending.
        digests: Hex sha256 of their files.
        pids: `(N,)`; person 0 is a distractor.
        camids: `(N,)`.
    """
    n = len(ids)
    columns = {
        "image_id": ids,
        "path": [f"{name}.png" for name in ids],
        "split": [split] * n,
        "pid": pids,
        "camid": camids,
        "modality": ["visible"] * n,
        "clothes_id": [None] * n,
        "distractor": pids == 0,
        "tracklet_id": [None] * n,
        "group": [None] * n,
        "width_px": [64] * n,
        "height_px": [128] * n,
        "sha256": digests,
        "n_bytes": [1000] * n,
    }
    arrays = [pa.array(values, schema.INDEX.field(name).type) for name, values in columns.items()]
    write_table(layout.index(split), pa.table(arrays, schema=schema.INDEX), producer="index")
    write_table(layout.rejects(split), schema.REJECTS.empty_table(), producer="index")
