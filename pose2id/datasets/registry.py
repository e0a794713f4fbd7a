"""Dataset readers by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

from pose2id.datasets.base import DatasetReader
from pose2id.datasets.folder import FolderReader
from pose2id.datasets.manifest import ManifestReader
from pose2id.datasets.market1501 import MarketReader
from pose2id.errors import ParamsError

READERS: Final[dict[str, Callable[..., DatasetReader]]] = {
    "folder": FolderReader,
    "manifest": ManifestReader,
    "market1501": MarketReader,
}


def make_reader(name: str, **options: Any) -> DatasetReader:  # noqa: ANN401 - each reader's own
    """Makes the reader of a dataset layout.

    Args:
        name: A key of `READERS`.
        options: Keyword arguments of that reader.

    Returns:
        The reader.

    Raises:
        ParamsError: There is no such reader, or it has no such option.
    """
    if name not in READERS:
        raise ParamsError(f"there is no dataset reader {name!r}; choose one of {[*READERS]}")
    allowed = list(inspect.signature(READERS[name]).parameters)
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise ParamsError(f"the reader {name!r} has no option {unknown}; it has {allowed}")
    return READERS[name](**options)
