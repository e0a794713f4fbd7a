"""What all readers do before they read a name: find the files that may be used at all."""

from __future__ import annotations

import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from pose2id.datasets.base import ImageRecord, Listing, RejectedFile
from pose2id.datasets.images import IMAGE_SUFFIXES
from pose2id.errors import DataError

_SPLIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def split_folder(root: Path, folder: str) -> Path:
    """The folder of a split, checked to exist inside the root.

    Args:
        root: The dataset's root folder.
        folder: Name of the folder inside it.

    Returns:
        Its path.

    Raises:
        DataError: The root or the folder is missing, or the folder lies outside the root.
    """
    check_split_name(folder)
    if not root.is_dir():
        raise DataError(f"there is no dataset folder {root}; set dataset.root to where the data is")
    path = root / folder
    if not path.is_dir():
        raise DataError(f"{root} has no folder {folder!r}; it holds {_contents(root)}")
    if not path.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{path} is a link that leaves the dataset's root; copy the folder instead")
    return path


def check_split_name(split: str) -> None:
    """Refuses split names that could leave the dataset's root.

    Raises:
        DataError: The name has other characters than letters, digits, `_` and `-`.
    """
    if not _SPLIT_NAME.fullmatch(split):
        raise DataError(f"{split!r} is not a split's name: letters, digits, '_' and '-' are")


def usable_files(root: Path, folder: Path, split: str) -> tuple[list[str], list[RejectedFile]]:
    """Lists a folder (without its subfolders), sorted by name.

    Args:
        root: The dataset's root folder.
        folder: A folder inside it.
        split: Name of the split, for the rejects.

    Returns:
        Paths relative to the root that may hold an image, and the rest with their reasons.

    Raises:
        DataError: The folder cannot be listed.
    """
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names, before they become paths
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror or error}") from error
    usable: list[str] = []
    rejects: list[RejectedFile] = []
    for name in names:
        path = f"{folder.relative_to(root).as_posix()}/{name}"
        reason = why_unusable(root, path)
        if reason is None:
            usable.append(path)
        else:
            rejects.append(RejectedFile(printable(path), split, reason))
    return usable, rejects


def why_unusable(root: Path, path: str) -> str | None:
    """Why a file cannot be an image of the dataset, judged without reading it.

    Args:
        root: The dataset's root folder.
        path: POSIX path relative to it.

    Returns:
        The reason, or `None` for a regular file inside the root with an image's suffix.
    """
    if not path.isprintable():
        return "its name has characters that cannot be printed"
    if Path(path).suffix.lower() not in IMAGE_SUFFIXES:
        return f"is not an image by its suffix ({', '.join(IMAGE_SUFFIXES)} are)"
    try:
        target = Path(os.path.realpath(root / path, strict=True))
        mode = target.stat().st_mode
    except OSError as error:
        return f"cannot be opened: {error.strerror or error}"
    if not target.is_relative_to(os.path.realpath(root)):
        return "is a link to a file outside the dataset's root"
    if not stat.S_ISREG(mode):
        return "is not a regular file"
    return None


def printable(name: str) -> str:
    r"""The name itself, or an ASCII form with escapes where it cannot be printed.

    Example:
        >>> printable("a b.jpg"), printable("a\nb.jpg")
        ('a b.jpg', 'a\\nb.jpg')
    """
    return name if name.isprintable() else ascii(name)[1:-1]


def finish(
    records: Sequence[ImageRecord], rejects: Iterable[RejectedFile], n_junk: int = 0
) -> Listing:
    """Sorts a split and rejects every file that shares its image id with another one.

    None of such files is kept, because nothing tells which one is meant.

    Args:
        records: Usable records in any order.
        rejects: What the reader has refused already.
        n_junk: Files that the layout marks as junk.

    Returns:
        The listing.
    """
    by_id: defaultdict[str, list[ImageRecord]] = defaultdict(list)
    for record in records:
        by_id[record.image_id].append(record)
    twins = [
        RejectedFile(record.path, record.split, f"shares its id {image_id!r} with {others}")
        for image_id, group in by_id.items()
        if len(group) > 1
        for record in group
        if (others := ", ".join(r.path for r in group if r is not record))
    ]
    unique = [group[0] for group in by_id.values() if len(group) == 1]
    return Listing(
        records=tuple(sorted(unique, key=lambda record: record.image_id)),
        rejects=tuple(sorted([*rejects, *twins], key=lambda reject: reject.path)),
        n_junk=n_junk,
    )


def _contents(root: Path) -> str:
    names = sorted(printable(entry.name) for entry in root.iterdir())
    if not names:
        return "nothing"
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more
