"""The project a command works on: its folder, its parameters, and paths as they were given."""

from __future__ import annotations

import os
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
