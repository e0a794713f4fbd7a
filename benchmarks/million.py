"""Time and memory of every stage behind the network, on a gallery of a million images.

    python -m benchmarks.million                                 # 100,000 and a million rows
    python -m benchmarks.million --rows 10000 30000 --search exact

A project of invented features and labels without pictures is written: 1,000 queries, 20 gallery
images a person, six cameras, 256 numbers a feature. Then each stage runs as DVC would start it, in
a process of its own: `validate` takes over the pixel scores of an earlier run, as it does for
pictures that have not changed; `index`, `generate` and `features`, which are as fast as files are
read and networks run, have benchmarks of their own. The last column is the exponent of growth
between the two largest sizes in processor time, for which 1.1 is N log N here.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks import processes
from benchmarks.invented import write_index, write_params, write_picture
from benchmarks.processes import REPOSITORY, Used
from tasks.gates.scores import VERSION
from tasks.tables import schema
from tasks.tables.schema import Layout
from tasks.tables.store import sha256_hex, shard_of, vector_column, write_table

QUERIES = 1000
DIM = 256
PER_PERSON = 20  # gallery images
CAMERAS = 6
NOISE = 1.0  # length of the noise against a person's centre
ROWS_AT_ONCE = 50_000
BOUND_GIB = 8.0
FIRST_QUERY = "query/0000000"

WRITE = """
import sys
from pathlib import Path
from benchmarks.million import write_project
write_project(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
"""
STAGES = {  # row of the table -> what `pose2id` is given
    "validate": ["stage", "validate", "gallery"],
    "centralize": ["stage", "centralize"],
    "audit": ["stage", "audit"],
    "score": ["stage", "score"],
    "report": ["stage", "report"],
    "query (SQL)": ["query", 'SELECT camid, count(*) FROM "index" GROUP BY ALL ORDER BY ALL'],
    "search, first": ["search", "--json", "--image", FIRST_QUERY],
    "search, again": ["search", "--json", "--image", FIRST_QUERY],
}


def write_project(root: Path, n_gallery: int, search: str) -> None:
    """Writes parameters, index, features and kept pixel scores of a project of invented people."""
    n_shards = 2 ** max(3, math.ceil(math.log2(n_gallery / 100_000)))
    write_params(
        root,
        shards=n_shards,
        generate={"generator": "none"},
        centralize={
            "camera_normalize": {"use": "always"},
            "nfc": {"k1": 2, "k2": 2, "search": search},
        },
        audit={"search": search},
        variants={"base": [], "camera": ["camera_normalize"], "all": ["camera_normalize", "nfc"]},
    )
    layout = Layout(root)
    layout.data.mkdir()
    shutil.copy(REPOSITORY / "data/views.sql", layout.data)
    rng = np.random.default_rng(0)
    n_people = n_gallery // PER_PERSON + 1
    centres = rng.standard_normal((n_people, DIM), np.float32)
    asked = rng.integers(1, n_people, QUERIES)
    shown = np.sort(np.arange(n_gallery) // PER_PERSON)  # person 0 is a distractor
    for split, pids in (("query", asked), ("gallery", shown)):
        ids = [f"{split}/{number:07d}" for number in range(len(pids))]
        digests = [hashlib.sha256(name.encode()).hexdigest() for name in ids]
        if split == "query":
            digests[0] = write_picture(root / f"images/{FIRST_QUERY}.png")
        write_index(layout, split, ids, digests, pids, rng.integers(0, CAMERAS, len(pids)))
        shards = np.array([shard_of(name, n_shards) for name in ids])
        for shard in range(n_shards):
            rows = np.flatnonzero(shards == shard)
            noise = rng.standard_normal((len(rows), DIM), np.float32)
            features = centres[pids[rows]] + np.float32(NOISE) * noise
            mine = [ids[row] for row in rows]
            _write_shard(layout, split, shard, mine, [digests[row] for row in rows], features)


def _write_shard(
    layout: Layout,
    split: str,
    shard: int,
    ids: list[str],
    digests: list[str],
    features: NDArray[np.float32],
) -> None:
    """Writes a shard's features, no drawings, and the pixel scores of its originals."""
    name, n = f"part-{shard:04d}.parquet", len(ids)
    own = pa.array([schema.ORIGINAL_POSE_ID] * n, pa.int16())
    columns = {"image_id": ids, "pose_id": own, "feature": vector_column(features), "key": digests}
    table = pa.table(columns, schema=schema.features(features.shape[1]))
    write_table(layout.features(split) / name, table, producer="f" * 64)
    write_table(layout.generated(split) / name, schema.GENERATED.empty_table(), producer="none")
    scores = {
        "image_id": ids,
        "pose_id": own,
        "key": [sha256_hex(VERSION, digest) for digest in digests],
        "decoded_size": ["64x128"] * n,
        "pixel_std": pa.array([40.0] * n, pa.float32()),
        "pose_difference": pa.nulls(n, pa.float32()),
        "pose_pck": pa.nulls(n, pa.float32()),
        "identity_similarity": pa.nulls(n, pa.float32()),
        "feature_norm": pa.nulls(n, pa.float32()),
        "n_not_finite": pa.nulls(n, pa.int32()),
    }
    kept = pa.table(scores, schema=schema.SCORES)
    write_table(layout.scores(split, shard), kept, producer="validate")


def run(command: Sequence[str], root: Path) -> Used:
    """Runs `pose2id` on the project and measures the process."""
    used, out, errors = processes.run(
        [sys.executable, "-m", "pose2id", "--root", str(root), *command]
    )
    for note in re.findall(r"gallery: (nfc: \w+ found [^,\n]*)", out + errors):
        print(f"  {note}")
    return used


def measure(n_gallery: int, search: str, work: Path | None) -> dict[str, Used]:
    """Every stage on a project of one size."""
    with tempfile.TemporaryDirectory(dir=work) as folder:
        root = Path(folder)
        writer = [sys.executable, "-c", WRITE, folder, str(n_gallery), search]
        processes.run(writer)
        for prepared in (["poses"], ["validate", "query"], ["choose"]):
            run(["stage", *prepared], root)
        found = {}
        for name, command in STAGES.items():
            found[name] = run(command, root)
            print(f"{n_gallery:>12,}  {name:16} {found[name]}", flush=True)
        size = sum(path.stat().st_size for path in (root / "data").rglob("*.parquet"))
        print(f"{n_gallery:>12,}  tables of {size / 2**30:.2f} GiB", flush=True)
    return found


def main() -> None:
    """Prints a table: a row per stage, a column per size, and the growth."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--search", choices=["exact", "ivf", "hnsw"], default="ivf")
    parser.add_argument("--work", type=Path, help="folder for the tables; 6 GB at a million rows")
    options = parser.parse_args()
    sizes = sorted(options.rows)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, search {options.search}")
    costs = {size: measure(size, options.search, options.work) for size in sizes}
    print("\nclock, processor, peak memory")
    print(f"| stage | {' | '.join(f'{size:,}' for size in sizes)} | growth |")
    print("|---" * (len(sizes) + 2) + "|")
    for name in STAGES:
        found = [costs[size][name] for size in sizes]
        print(f"| {name} | {' | '.join(map(str, found))} | {_growth(sizes, found)} |")
    highest = max(cost.gib for of_size in costs.values() for cost in of_size.values())
    print(f"highest memory {highest:.2f} GiB (bound {BOUND_GIB:g})")


def _growth(sizes: list[int], found: list[Used]) -> str:
    """Exponent of the processor time between the two largest sizes."""
    if len(sizes) < 2:
        return ""
    times = found[-1].processor_seconds / found[-2].processor_seconds
    return f"N^{math.log(times) / math.log(sizes[-1] / sizes[-2]):.2f}"


if __name__ == "__main__":
    main()
