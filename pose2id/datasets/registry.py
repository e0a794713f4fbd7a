"""Dataset readers by name, and the recognition of a folder's layout."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pose2id.datasets.ccvid import CcvidReader
from pose2id.datasets.celeb_reid import CelebReidReader
from pose2id.datasets.cuhk03 import Cuhk03Reader
from pose2id.datasets.deepchange import DeepChangeReader
from pose2id.datasets.folder import FolderReader
from pose2id.datasets.hf import HfReader
from pose2id.datasets.last import LastReader
from pose2id.datasets.layout import Layout
from pose2id.datasets.ltcc import LtccReader
from pose2id.datasets.manifest import ManifestReader
from pose2id.datasets.market1501 import MarketReader
from pose2id.datasets.mars import MarsReader
from pose2id.datasets.msmt17 import MsmtReader
from pose2id.datasets.occluded_duke import OccludedDukeReader
from pose2id.datasets.occluded_reid import OccludedReidReader
from pose2id.datasets.p_dukemtmc import PDukeReader
from pose2id.datasets.person_folders import PersonFoldersReader
from pose2id.datasets.prcc import PrccReader
from pose2id.datasets.regdb import RegDbReader
from pose2id.datasets.sysu_mm01 import SysuReader
from pose2id.datasets.vc_clothes import VcClothesReader
from pose2id.datasets.veri776 import VeriReader
from pose2id.datasets.viper import ViperReader
from pose2id.errors import ParamsError

# In the order in which a folder is compared with them: what is particular before what is general.
LAYOUTS: Final[tuple[type[Layout], ...]] = (
    *(ManifestReader, HfReader, MsmtReader, Cuhk03Reader, OccludedDukeReader, MarketReader),
    *(VeriReader, PDukeReader, OccludedReidReader, SysuReader, RegDbReader, PrccReader),
    *(MarsReader, CcvidReader, DeepChangeReader, LastReader, LtccReader, VcClothesReader),
    *(CelebReidReader, ViperReader, PersonFoldersReader, FolderReader),
)
_COMMON: Final = ("distractor_pids", "junk_pids", "follow_links")
READERS: Final[dict[str, type[Layout]]] = {layout.name: layout for layout in LAYOUTS}


def make_reader(name: str, **options: Any) -> Layout:  # noqa: ANN401 - each reader's own
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
    allowed = [*_COMMON, *own_options(READERS[name])]
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise ParamsError(f"the reader {name!r} has no option {unknown}; it has {allowed}")
    return READERS[name](**options)


def own_options(layout: type[Layout]) -> tuple[str, ...]:
    """Options that a layout has beside those of all."""
    return tuple(name for name in _parameters(layout) if name not in _COMMON)


def recognise(root: Path) -> tuple[type[Layout], str] | None:
    """The layout of a folder and by what it shows; `None` where none fits.

    Args:
        root: The folder.
    """
    for layout in LAYOUTS:
        evidence = layout.recognises(root)
        if evidence is not None:
            return layout, evidence
    return None


def _parameters(layout: Callable[..., Layout]) -> tuple[str, ...]:
    named = inspect.signature(layout).parameters.values()
    return tuple(p.name for p in named if p.kind is not inspect.Parameter.VAR_KEYWORD)
