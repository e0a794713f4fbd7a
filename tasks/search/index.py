"""The features of a split as a file that is mapped into memory, so that a second search is quick.

`.cache/search/SPLIT/VARIANT/SEAL-DIGEST.arrow` is the table with that seal, uncompressed. Another
table has another seal, so the file is never out of date; its own XXH3 digest tells whether it is
still what was written. The search over it is exact.
"""

from __future__ import annotations

import logging
import mmap
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from tasks.tables.schema import Layout
from tasks.tables.seal import seal_of
from tasks.tables.store import atomic_path, read_table

log = logging.getLogger(__name__)


def open_features(
    layout: Layout, split: str, variant: str
) -> tuple[pa.StringArray, NDArray[np.float32]]:
    """The features of a split, mapped from its index, which is made if it is not there.

    Args:
        layout: The project.
        split: Name of the split.
        variant: Name of the variant whose table holds the features.

    Returns:
        N image ids, and their features `(N, D) float32`, read-only.

    Raises:
        DataError: There is no table, or it is damaged.
    """
    source = layout.centralized(split) / f"{variant}.parquet"
    folder = layout.cache / "search" / split / variant
    seal = seal_of(source) if source.is_file() else None
    for path in sorted(folder.glob(f"{seal}-*.arrow")) if seal else ():
        if path.stem == f"{seal}-{_digest(path)}":
            return _arrays(pa.ipc.open_file(pa.memory_map(str(path))).read_all())
        log.warning("%s was damaged and is made again", path)
    table = read_table(source, ["image_id", "feature"]).combine_chunks()
    if seal:
        try:
            _write(folder, seal, table)
        except OSError as error:
            log.warning("no search index in %s (%s): the next search reads it all", folder, error)
    return _arrays(table)


def _write(folder: Path, seal: str, table: pa.Table) -> None:
    """Writes the index in place of those of earlier tables."""
    old = list(folder.glob("[!.]*.arrow"))
    with atomic_path(folder / "new.arrow") as temporary:
        with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)  # one chunk: one batch, whose numbers lie side by side
        name = f"{seal}-{_digest(temporary)}.arrow"
    for path in old:
        path.unlink(missing_ok=True)
    (folder / "new.arrow").replace(folder / name)


def _digest(path: Path) -> str:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return xxhash.xxh3_128(content).hexdigest()


def _arrays(table: pa.Table) -> tuple[pa.StringArray, NDArray[np.float32]]:
    features = table.column("feature").chunk(0)
    rows = features.flatten().to_numpy(zero_copy_only=True)
    return table.column("image_id").chunk(0), rows.reshape(len(features), -1)
