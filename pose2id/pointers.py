"""Files that only stand for others: what Git LFS and git-annex leave where nothing was fetched."""

from __future__ import annotations

from pathlib import Path

POINTER_BYTES = 1024  # no pointer is longer
_LFS = b"version https://git-lfs.github.com/spec/"
_ANNEX = b"/annex/objects/"


def pointer_in(head: bytes) -> str | None:
    r"""What a file's first bytes say about where its content is.

    Args:
        head: The file's beginning, at least `POINTER_BYTES` where it has that many.

    Returns:
        What it is and what fetches the content; None for any other file.

    >>> pointer_in(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a...")
    'is a pointer of Git LFS, not the file itself; fetch it: git lfs pull'
    >>> pointer_in(b"PAR1") is None
    True
    """
    if head.startswith(_LFS):
        return "is a pointer of Git LFS, not the file itself; fetch it: git lfs pull"
    if len(head) < POINTER_BYTES and _ANNEX in head[:64].replace(b"\\", b"/"):
        return "is a pointer of git-annex, not the file itself; fetch it: git annex get"
    return None


def pointer_at(path: Path) -> str | None:
    """`pointer_in` of a file's beginning; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return pointer_in(file.read(POINTER_BYTES))
    except OSError:
        return None
