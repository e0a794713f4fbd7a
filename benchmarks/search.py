"""A search in a large gallery: `python -m benchmarks.search [--images 100000] [--dim 512]`.

A project of invented features is written, then `pose2id search` runs as a person would start it:
once without an index, three times with it. The picture asked with is indexed, so no network runs.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks import processes
from benchmarks.invented import write_index, write_params, write_picture
from tasks.tables import schema
from tasks.tables.schema import Layout
from tasks.tables.store import vector_column, write_table

QUERY = "images/query/0000000.png"


def write_project(root: Path, n_images: int, dim: int) -> None:
    """Tables of one query and a gallery, features of the variant `base` alone."""
    write_params(root)
    digest = write_picture(root / QUERY)
    rng = np.random.default_rng(0)
    for split, n in (("query", 1), ("gallery", n_images)):
        ids = [f"{split}/{number:07d}" for number in range(n)]
        digests = [hashlib.sha256(name.encode()).hexdigest() for name in ids]
        if split == "query":
            digests = [digest]
        numbers = np.arange(n)
        write_index(Layout(root), split, ids, digests, 1 + numbers // 8, numbers % 6)
        features = rng.normal(size=(n, dim)).astype(np.float32)
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        rows = pa.table(
            [pa.array(["base"] * n), pa.array(ids), vector_column(features)],
            schema=schema.centralized(dim),
        )
        write_table(Layout(root).centralized(split) / "base.parquet", rows, producer="c")


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
        command = [sys.executable, "-m", "pose2id", "--root", folder, "search", "--json", "--image"]
        for name in ("first search", "second", "third", "fourth"):
            used, _, _ = processes.run([*command, str(root / QUERY)])
            clock, processor = used.seconds, used.processor_seconds
            print(f"{name:13} {clock:.2f} s by the clock, {processor:.2f} s of the processor")


if __name__ == "__main__":
    main()
