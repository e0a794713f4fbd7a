"""The folder an export is written to: it appears whole, or not at all."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pose2id.errors import DataError

MANIFEST = "export.json"


@contextlib.contextmanager
def new_folder(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yields an empty folder beside the target; on success it becomes the target.

    Args:
        target: Where the export shall be.
        overwrite: Replace an earlier export. Any other folder with content is never replaced.

    Raises:
        DataError: Something is at the target that must not be replaced.
    """
    target = target.resolve()
    _check_free(target, overwrite=overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    workshop = Path(tempfile.mkdtemp(prefix=f".{target.name}.tmp-", dir=target.parent))
    try:
        fresh = workshop / "new"
        fresh.mkdir()
        yield fresh
        _check_free(target, overwrite=overwrite)
        if target.exists():
            target.replace(workshop / "old")
        fresh.replace(target)
    finally:
        shutil.rmtree(workshop)


def write_manifest(folder: Path, facts: dict[str, object]) -> None:
    """Writes what the export holds and where it comes from; no clock, no host."""
    text = json.dumps(facts, indent=2, sort_keys=True)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _check_free(target: Path, *, overwrite: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise DataError(f"{target} is a file; an export needs a folder: give another --out")
    if not any(target.iterdir()):
        return
    if not (target / MANIFEST).is_file():
        raise DataError(
            f"{target} is not empty and holds no earlier export (no {MANIFEST}), so it is never "
            "replaced; give another --out"
        )
    if not overwrite:
        raise DataError(
            f"{target} holds an earlier export; give --overwrite to replace it, or another --out"
        )
