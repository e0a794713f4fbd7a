"""A search in a large gallery: `python -m benchmarks.search [--images 100000] [--dim 512]`.

A project of invented features is written, then `pose2id search` runs as a person would start it:
once without an index, three times with it. The picture asked with is indexed, so no network runs.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml
from PIL import Image

from tasks.tables import schema
from tasks.tables.schema import Layout
from tasks.tables.store import vector_column, write_table


def write_project(root: Path, n_images: int, dim: int) -> None:
    """Tables of one query and a gallery, features of the variant `base` alone."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 128), "teal").save(buffer, format="png")
    dataset = {"name": "invented", "reader": "market1501", "root": "images", "licence": "CC0-1.0"}
    params = {
        "splits": ["query", "gallery"],
        "dataset": {**dataset, "status": "open"},
        "variants": {"base": []},
    }
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    (root / "images").mkdir()
    (root / "images/query.png").write_bytes(buffer.getvalue())
    rng = np.random.default_rng(0)
    for split, n in (("query", 1), ("gallery", n_images)):
        ids = [f"{split}/{number:07d}" for number in range(n)]
        digests = [hashlib.sha256(name.encode()).hexdigest() for name in ids]
        if split == "query":
            digests = [hashlib.sha256(buffer.getvalue()).hexdigest()]
        index = {
            "image_id": ids,
            "path": [f"{split}.png"] * n,
            "split": [split] * n,
            "pid": np.arange(n) // 8,
            "camid": np.arange(n) % 6,
            "modality": ["visible"] * n,
            "clothes_id": [None] * n,
            "distractor": [False] * n,
            "tracklet_id": [None] * n,
            "group": [None] * n,
            "width_px": [64] * n,
            "height_px": [128] * n,
            "sha256": digests,
            "n_bytes": [1] * n,
        }
        columns = [pa.array(values, schema.INDEX.field(k).type) for k, values in index.items()]
        table = pa.table(columns, schema=schema.INDEX)
        write_table(Layout(root).index(split), table, producer="index")
        features = rng.normal(size=(n, dim)).astype(np.float32)
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        rows = pa.table(
            [pa.array(["base"] * n), pa.array(ids), vector_column(features)],
            schema=schema.centralized(dim),
        )
        write_table(Layout(root).centralized(split) / "base.parquet", rows, producer="c")


def search(root: Path) -> tuple[float, float]:
    """Seconds by the clock and of the processor for one search, started anew."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "pose2id", "--root", str(root), "search", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    subprocess.run(
        [*command, "--image", str(root / "images/query.png")],
        check=True,
        capture_output=True,
        env=environment,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, used


def main() -> None:
    """Prints the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_project(root, options.images, options.dim)
        print(f"{options.images} gallery images, {options.dim} numbers each")
        for name in ("first search", "second", "third", "fourth"):
            clock, processor = search(root)
            print(f"{name:13} {clock:.2f} s by the clock, {processor:.2f} s of the processor")


if __name__ == "__main__":
    main()
