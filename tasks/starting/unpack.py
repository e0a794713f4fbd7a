"""Datasets that hold their pictures inside a file: found, and written out as image files.

CUHK03 is published as one MATLAB file; Hugging Face datasets are saved as Arrow or Parquet. All
else in this project reads image files below a root, so that DVC can watch them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pose2id.datasets.names import ReaderName
from pose2id.errors import DataError


@dataclass(frozen=True, slots=True)
class Packed:
    """A dataset to unpack.

    Attributes:
        folder: Where it is.
        reader: The layout that it has when it is unpacked.
        evidence: By what it was recognised.
    """

    folder: Path
    reader: ReaderName
    evidence: str


def find_packed(folder: Path) -> Packed | None:
    """The dataset of a folder whose pictures are inside files, if there is one."""
    from tasks.starting.unpack_cuhk03 import CUHK03_FILE
    from tasks.starting.unpack_hf import split_files

    if (folder / CUHK03_FILE).is_file():
        return Packed(folder, "cuhk03", CUHK03_FILE)
    if files := split_files(folder):
        names = ", ".join(files)
        return Packed(folder, "hf", f"a Hugging Face dataset with the split(s) {names}")
    return None


def unpack(packed: Packed, target: Path, advance: Callable[[], None]) -> None:
    """Writes a dataset's pictures as files; the folder appears when all of them are there.

    Args:
        packed: From `find_packed`.
        target: The folder to make.
        advance: Called after each picture.

    Raises:
        DataError: The folder exists, or the dataset cannot be read.
    """
    from tasks.starting.unpack_cuhk03 import unpack_cuhk03
    from tasks.starting.unpack_hf import unpack_hf

    if target.exists():
        raise DataError(
            f"{target} exists: run pose2id init {target} to use what was unpacked there, or delete "
            "it to unpack again"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".tmp-", dir=target.parent))
    try:
        make = unpack_cuhk03 if packed.reader == "cuhk03" else unpack_hf
        make(packed.folder, fresh, advance)
        fresh.chmod(0o755)
        fresh.replace(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
