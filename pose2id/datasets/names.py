"""The names that params.yaml may use: dataset readers and the options of each."""

from __future__ import annotations

from typing import Final, Literal

ReaderName = Literal[
    "market1501",
    "msmt17",
    "cuhk03",
    "occluded_duke",
    "p_dukemtmc",
    "occluded_reid",
    "sysu_mm01",
    "regdb",
    "ltcc",
    "prcc",
    "vc_clothes",
    "last",
    "celeb_reid",
    "viper",
    "deepchange",
    "ccvid",
    "mars",
    "veri776",
    "person_folders",
    "folder",
    "manifest",
    "hf",
]

RETRACTED_READERS: Final[frozenset[str]] = frozenset({"occluded_duke", "p_dukemtmc"})
"""Layouts of datasets that their authors withdrew."""

READER_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "cuhk03": ("boxes",),
    "msmt17": ("join_val",),
    "person_folders": ("cameras",),
    "regdb": ("trial", "query_modality"),
    "sysu_mm01": ("join_val",),
}
"""Options of `dataset.options` that a reader takes; readers that are not listed take none."""
