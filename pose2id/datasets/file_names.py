"""What a file's name tells before it is opened: an image, no image, or one that cannot be used."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final

from pose2id.datasets.images import IMAGE_SUFFIXES
from pose2id.errors import DataError

NOT_IMAGE_NAMES: Final = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "readme", "license"})
NOT_IMAGE_SUFFIXES: Final = frozenset(
    {
        *(".csv", ".db", ".doc", ".docx", ".dvc", ".gz", ".htm", ".html", ".ini", ".json"),
        *(".jsonl", ".list", ".log", ".lst", ".m", ".mat", ".md", ".md5", ".npy", ".npz"),
        *(".parquet", ".pdf", ".pkl", ".py", ".rtf", ".sh", ".sha256", ".tar", ".tsv", ".txt"),
        *(".xls", ".xlsx", ".xml", ".yaml", ".yml", ".zip"),
    }
)

_SPLIT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def is_no_image(name: str) -> bool:
    """Whether a file is no image and is not meant to be one: system files and sidecars.

    Example:
        >>> [is_no_image(n) for n in ("Thumbs.db", "._a.jpg", "a.json", "a.gif", "a.jpg")]
        [True, True, True, False, False]
    """
    if name[:1] != "." and has_image_suffix(name):
        return False
    lower = name.lower()
    suffix = PurePosixPath(lower).suffix
    hidden = lower.startswith(".") or lower == "__macosx"
    return hidden or lower in NOT_IMAGE_NAMES or suffix in NOT_IMAGE_SUFFIXES


def without_suffix(path: str) -> str:
    """A path without the suffix of its file.

    Example:
        >>> without_suffix("a.b/c.d.jpg"), without_suffix("a.b/c")
        ('a.b/c.d', 'a.b/c')
    """
    stem, dot, suffix = path.rpartition(".")
    return stem if dot and "/" not in suffix else path


def unusable_name(path: str) -> str | None:
    """Why a path cannot be an image's by its name alone, or `None`."""
    if not path.isprintable():
        return "its name has characters that cannot be printed"
    if not has_image_suffix(path):
        return f"is not an image by its suffix ({', '.join(IMAGE_SUFFIXES)} are)"
    return None


def check_split_name(split: str) -> None:
    """Refuses split names that could leave the dataset's root.

    Raises:
        DataError: The name has other characters than letters, digits, `_` and `-`.
    """
    if not _SPLIT_NAME.fullmatch(split):
        raise DataError(f"{split!r} is not a split's name: letters, digits, '_' and '-' are")


def printable(name: str) -> str:
    r"""The name itself, or an ASCII form with escapes where it cannot be printed.

    Example:
        >>> printable("a b.jpg"), printable("a\nb.jpg")
        ('a b.jpg', 'a\\nb.jpg')
    """
    return name if name.isprintable() else ascii(name)[1:-1]


def has_image_suffix(name: str) -> bool:
    """Whether a name ends as an image's does."""
    return name.lower().endswith(IMAGE_SUFFIXES)
