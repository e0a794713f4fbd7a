"""The project a command works on: its folder, its parameters, and files as they were named."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

PARAMS_FILE = Path("params.yaml")
_CALLERS_FOLDER = "pose2id.callers_folder"


def enter(context: typer.Context, root: Path) -> None:
    """Goes to the project's folder, as `git -C` does; every command works where it is.

    Args:
        context: Of the whole command line; remembers the folder that was left.
        root: The project's folder.
    """
    context.meta[_CALLERS_FOLDER] = Path.cwd()
    os.chdir(root)


def as_given(
    context: typer.Context, parameter: typer.CallbackParam, value: Path | None
) -> Path | None:
    """A path of the command line, which is meant from the folder where the user is.

    Use it as the callback of every option and argument that is a path; defaults stay relative to
    the project's folder.
    """
    left = context.meta.get(_CALLERS_FOLDER)
    source = context.get_parameter_source(parameter.name or "")
    given = source is not None and source.name == "COMMANDLINE"
    if value is None or left is None or left == Path.cwd() or not given:
        return value
    return Path(left, value)


Params = Annotated[Path, typer.Option("--params", help="The parameters.", callback=as_given)]


@contextlib.contextmanager
def new_file(out: Path, option: str) -> Iterator[Path]:
    """A temporary file that becomes an option's; where none can be, it says so before any work.

    Raises:
        DataError: No file can be written there.
    """
    from pose2id.errors import DataError
    from tasks.tables.store import atomic_path

    with contextlib.ExitStack() as stack:
        try:
            if out.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
            temporary = stack.enter_context(atomic_path(out))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{option} {str(out)[:200]} cannot be written: {reason}") from error
        yield temporary
