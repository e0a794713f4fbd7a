"""What the disk refuses, said in words: full, read-only, no permission, gone."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from flows.process.failure import WorkFailedError

# What trying again does not mend, and what does.
REMEDIES = {
    errno.ENOSPC: "free some space, or move the project to a larger disk",
    errno.EDQUOT: "free some space, or ask for a larger quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "mount the disk writable",
    errno.EACCES: "give this user access again",
    errno.EPERM: "give this user access again",
    errno.EISDIR: "move the folder that lies in place of a file out of the way",
    errno.ENOTDIR: "move the file that lies in place of a folder out of the way",
    errno.EEXIST: "move what lies in place of a folder out of the way",
    errno.ENOENT: "put the file back, or let the pipeline index the folder again",
}


class StorageError(WorkFailedError):
    """The disk refused to read or write."""


@contextmanager
def explained_disk_errors(purpose: str) -> Iterator[None]:
    """Turns the operating system's refusals into errors for the user.

    Args:
        purpose: What was being done, such as `generate query 3/8`.

    Raises:
        StorageError: The disk is full or read-only, permission is missing, or a file is gone.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        where = f": {error.filename}" if error.filename else ""
        raise StorageError(
            f"{purpose}: {error.strerror}{where}. To go on, {REMEDIES[error.errno]}, then run the "
            "same command again; finished rows are kept. To have the tables of the last finished "
            "run back: dvc checkout"
        ) from error
