"""Running out of memory, said in words: by a limit, by the machine, by whatever library it was."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from pose2id.errors import Pose2IdError

# How libraries say it in exceptions of no type of their own.
_WORDS = (
    "bad_alloc",
    "bad allocation",
    "out of memory",
    "not enough memory",
    "cannot allocate memory",
    "can't allocate memory",
    "failed to allocate",
    "can't start new thread",
    "unable to mmap",
)


class OutOfMemoryError(Pose2IdError):
    """There is less memory than the work needs."""


@contextmanager
def explained_memory_errors(purpose: str) -> Iterator[None]:
    """Turns a lack of memory into an error for the user; trying again would not help.

    Args:
        purpose: What was being done, such as `generate query 3/8`.

    Raises:
        OutOfMemoryError: There was not enough memory, on the machine or a GPU.
    """
    try:
        yield
    except Pose2IdError:
        raise
    except Exception as error:
        if not is_lack_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"{purpose}: not enough memory ({str(error)[:200] or type(error).__name__}). Lower "
            "runtime.workers, generate.batch_size or features.batch_size, raise the limit (ulimit "
            "-v, the container's), or close other programs; then run the same command again: "
            "finished rows are kept"
        ) from error


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether an exception of any library says that memory is short.

    >>> is_lack_of_memory(RuntimeError("std::bad_alloc")), is_lack_of_memory(RuntimeError("no"))
    (True, False)
    """
    if isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno == errno.ENOMEM
    ):
        return True
    return any(word in str(error).lower() for word in _WORDS)
