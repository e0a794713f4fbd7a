"""The folder an export is written to: it appears whole, or not at all, and takes nothing along.

The manifest lists every file of an export. Replacing an earlier export deletes those files and no
other: what someone else has put into the folder stays where it is.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pose2id.errors import DataError

log = logging.getLogger(__name__)
MANIFEST = "export.json"


@contextlib.contextmanager
def new_folder(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yields an empty folder beside the target; on success it becomes the target.

    Args:
        target: Where the export shall be.
        overwrite: Replace an earlier export. Files that it did not write are kept, and a folder
            that holds no export is never touched.

    Raises:
        DataError: Something is at the target that must not be replaced, or no folder can be there.
    """
    try:
        target = target.resolve()
        _check_free(target, overwrite=overwrite)
        target.parent.mkdir(parents=True, exist_ok=True)
        workshop = Path(tempfile.mkdtemp(prefix=f".{target.name[:40]}.tmp-", dir=target.parent))
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"there can be no folder {str(target)[:200]!r}: {reason}; give another --out"
        ) from error
    fresh, old = workshop / "new", workshop / "old"
    try:
        fresh.mkdir()
        yield fresh
        _check_free(target, overwrite=overwrite)
        kept = _foreign_entries(target) if target.exists() else []
        _check_collisions(target, fresh, kept)
        if target.exists():
            target.replace(old)
        fresh.replace(target)
        for entry in kept:
            (target / entry).parent.mkdir(parents=True, exist_ok=True)
            (old / entry).replace(target / entry)
        if kept:
            log.warning(
                "kept in %s, because no export wrote them: %s", target, ", ".join(map(str, kept))
            )
        _delete_export(old)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        with contextlib.suppress(OSError):
            workshop.rmdir()  # never more than an empty folder


def write_manifest(folder: Path, facts: dict[str, object]) -> None:
    """Writes what the export holds, file by file, and where it comes from; no clock, no host."""
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    text = json.dumps(facts | {"files": [*files, MANIFEST]}, indent=2, sort_keys=True)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _check_free(target: Path, *, overwrite: bool) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise DataError(f"{target} is a file; an export needs a folder: give another --out")
    if not any(target.iterdir()):
        return
    if not _files_of_export(target):
        raise DataError(
            f"{target} is not empty and holds no earlier export (no {MANIFEST} that lists its "
            "files), so it is never replaced; give another --out"
        )
    if not overwrite:
        raise DataError(
            f"{target} holds an earlier export; give --overwrite to replace it, or another --out"
        )


def _files_of_export(folder: Path) -> frozenset[PurePosixPath]:
    """The files that the folder's manifest lists, as far as they can lie in the folder."""
    try:
        facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return frozenset()
    listed = facts.get("files") if isinstance(facts, dict) else None
    if not isinstance(listed, list):
        return frozenset()
    paths = (PurePosixPath(name) for name in listed if isinstance(name, str) and "\0" not in name)
    return frozenset(p for p in paths if p.parts and not p.is_absolute() and ".." not in p.parts)


def _foreign_entries(folder: Path) -> list[PurePosixPath]:
    """Files and folders that the folder's export did not write."""
    ours = _files_of_export(folder)
    our_folders = {parent for path in ours for parent in path.parents}
    found: list[PurePosixPath] = []

    def look(below: PurePosixPath) -> None:
        for entry in sorted((folder / below).iterdir()):
            name = below / entry.name
            is_folder = entry.is_dir() and not entry.is_symlink()
            if is_folder and name in our_folders:
                look(name)
            elif is_folder or name not in ours:
                found.append(name)

    look(PurePosixPath())
    return found


def _check_collisions(target: Path, fresh: Path, kept: list[PurePosixPath]) -> None:
    for entry in kept:
        folders_taken = any((fresh / folder).is_file() for folder in entry.parents)
        if folders_taken or (fresh / entry).exists():
            raise DataError(
                f"{target / entry} was not written by the earlier export, but the new one would "
                "be in its place; move it away, or give another --out"
            )


def _delete_export(folder: Path) -> None:
    """Deletes an export's own files, and folders that are empty then."""
    ours = _files_of_export(folder)
    for path in ours:
        with contextlib.suppress(OSError):  # gone, or a folder by now
            (folder / path).unlink()
    our_folders = {parent for path in ours for parent in path.parents}
    for path in sorted(our_folders, key=lambda p: len(p.parts), reverse=True):
        with contextlib.suppress(OSError):
            (folder / path).rmdir()
