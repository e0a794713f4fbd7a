"""Who else on this machine may read what is made: nobody, where the dataset is private."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.tables.params import DatasetParams, Params

OWNER_ONLY = 0o077
FOLDERS = ("data", "reports", "exports", ".cache", ".dvc/cache")


def load_project(params: Path, root: Path = Path()) -> Params:
    """The project's parameters, read before anything is made; a private dataset stays private.

    Args:
        params: The YAML file.
        root: The project's root folder.

    Raises:
        ParamsError: A parameter is not as it must be.
    """
    from tasks.tables.params import load_params

    parameters = load_params(params)
    keep_private(parameters.dataset, root)
    return parameters


def keep_private(dataset: DatasetParams, root: Path) -> None:
    """Sets the rights of all that this process and its children make.

    Nothing gets wider rights than the umask leaves. For a private dataset the umask is narrowed to
    the owner, and the project's folders are closed, those with files of other programs (DVC's
    cache) as well.

    Args:
        dataset: `dataset.status` decides.
        root: The project's root folder.
    """
    if dataset.status != "private":
        return
    os.umask(os.umask(OWNER_ONLY) | OWNER_ONLY)
    for name in FOLDERS:
        with suppress(OSError):  # not there, or another's
            folder = root / name
            folder.chmod(folder.stat().st_mode & 0o7777 & ~OWNER_ONLY)
