"""RegDB: `Visible/`, `Thermal/` and `idx/{train,test}_{visible,thermal}_{1..10}.txt`.

A list has one `path label` a line. Each of the ten trials has its own train people, so a network
must be trained for the trial that it is tested on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pose2id.choices import QueryModality
from pose2id.datasets.base import Official, by_split
from pose2id.datasets.collector import Entry, ImageLabels
from pose2id.datasets.fields import person
from pose2id.datasets.file_names import without_suffix
from pose2id.datasets.files import DatasetFiles, read_lines
from pose2id.datasets.layout import ListLayout
from pose2id.errors import DataError


class RegDbReader(ListLayout):
    """Reads the lists of one trial. Visible images get camera 0, thermal ones camera 1.

    Args:
        trial: Number of the trial, 1 to 10.
        query_modality: Which of the two is asked with; the other one is the gallery.
        common: See `Layout`.
    """

    name = "regdb"
    title = "RegDB"
    protocol = "regdb"
    camera_names = ("visible", "thermal")
    official = by_split(
        train=Official((4_120,), (206,)),
        query=Official((2_060,), (206,)),
        gallery=Official((2_060,), (206,)),
    )
    remark = "Trial 1 of ten (dataset.options.trial); each wants a network trained for it."

    def __init__(
        self,
        *,
        trial: int = 1,
        query_modality: QueryModality = "visible",
        **common: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(**common)
        self._trial = trial
        self._query = query_modality

    @classmethod
    def recognises(cls, root: Path) -> str | None:
        """The two folders and a list."""
        folders = (root / "Visible").is_dir() and (root / "Thermal").is_dir()
        if folders and (root / "idx/test_visible_1.txt").is_file():
            return "folders Visible and Thermal, and idx/test_visible_1.txt"
        return None

    def _entries(self, files: DatasetFiles, split: str) -> Iterator[Entry]:
        other = "thermal" if self._query == "visible" else "visible"
        kinds = {"query": (self._query,), "gallery": (other,)}.get(split, ("visible", "thermal"))
        part = "train" if split == "train" else "test"
        for kind in kinds:
            file = f"idx/{part}_{kind}_{self._trial}.txt"
            for line, text in enumerate(read_lines(files.root / file), 1):
                path, _, label = text.replace("\\", "/").rpartition(" ")
                name, source = without_suffix(path), f"{file}, line {line}"
                try:
                    pid = person(label)
                except DataError as error:
                    yield Entry(path or text, name, ImageLabels(), source, str(error))
                    continue
                if kind == "thermal":
                    yield Entry(path, name, ImageLabels(pid, 1, "infrared"), source)
                else:
                    yield Entry(path, name, ImageLabels(pid, 0), source)
