"""Labels of one side, query or gallery: who, by which camera, in which clothes, in which track."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose2id.arrays import to_numpy
from pose2id.errors import DataError
from pose2id.features import Ints

UNKNOWN = -1
NO_NAME = ""

_COLUMNS = (
    "pids",
    "camids",
    "clothes_ids",
    "tracklets",
    "groups",
    "distractors",
    "modality",
    "image_ids",
)

Column = NDArray[Any]  # of whole numbers (-1 unknown) or of names ("" unknown)


class Labels:
    """Labels of N images; a column that is None is unknown as a whole.

    Attributes:
        pids: `(N,) int64` persons, -1 where unknown.
        camids: `(N,) int64` cameras, -1 where unknown.
        clothes_ids: `(N,) int64` outfits, -1 where unknown; compared for one person at a time.
        tracklets: `(N,)` numbers or names of the tracks that images are frames of; -1 or "" where
            unknown.
        groups: `(N,)` numbers or names of a column of your own, likewise.
        distractors: `(N,) bool`, images that match nobody whatever their pid.
        modality: `(N,)` names such as visible and infrared; "" where unknown.
        image_ids: `(N,)` numbers or names of the images. They make ties fair, keep an image from
            finding itself, and order the images that official draws count.
    """

    def __init__(
        self,
        pids: ArrayLike | None = None,
        camids: ArrayLike | None = None,
        clothes_ids: ArrayLike | None = None,
        tracklets: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        distractors: ArrayLike | None = None,
        modality: ArrayLike | None = None,
        image_ids: ArrayLike | None = None,
    ) -> None:
        """Checks the columns; arrays, lists and tensors are taken, None stands for no column.

        Raises:
            DataError: A column is not of the type above, or lengths differ.

        Example:
            >>> len(Labels(pids=[7, 7, -1], camids=[0, 1, 1]))
            3
        """
        self.pids = _numbers(pids, "pids")
        self.camids = _numbers(camids, "camids")
        self.clothes_ids = _numbers(clothes_ids, "clothes_ids")
        self.tracklets = _names(tracklets, "tracklets")
        self.groups = _names(groups, "groups")
        self.distractors = _mask(distractors)
        self.modality = _names(modality, "modality")
        self.image_ids = _names(image_ids, "image_ids")
        lengths = {name: len(column) for name, column in self._columns().items()}
        if len(set(lengths.values())) > 1:
            raise DataError(
                "labels must have one value per image in every column; received "
                + ", ".join(f"{length} {name}" for name, length in lengths.items())
                + "."
            )
        self._length = next(iter(lengths.values()), None)

    def __len__(self) -> int:
        """Number of images, 0 where no column is known."""
        return self._length or 0

    def _columns(self) -> dict[str, Column]:
        columns = {name: getattr(self, name) for name in _COLUMNS}
        return {name: column for name, column in columns.items() if column is not None}

    def check_length(self, length: int, side: str) -> None:
        """Refuses labels of another number of images.

        Args:
            length: Number of images.
            side: What the message calls them, such as `query`.

        Raises:
            DataError: There are columns, and they are not of this length.
        """
        if self._length not in (None, length):
            raise DataError(
                f"{side} has {length} images but labels of {self._length}; give one value per "
                f"image in {', '.join(self._columns())}."
            )

    def take(self, rows: ArrayLike) -> Labels:
        """The labels of some images.

        Args:
            rows: Row numbers or a mask.
        """
        index = to_numpy(rows)
        columns = {name: column[index] for name, column in self._columns().items()}
        return Labels(**columns)

    def known(self, column: str) -> bool:
        """Whether any image has a value in a column."""
        values = getattr(self, column)
        return values is not None and bool((values != unknown_of(values)).any())

    def people(self, length: int) -> Ints:
        """`(N,) int64`, -1 for whoever matches nobody: unknown persons and distractors."""
        if self.pids is None:
            return np.full(length, UNKNOWN, np.int64)
        if self.distractors is None:
            return self.pids
        return np.where(self.distractors, UNKNOWN, self.pids)

    @cached_property
    def tie_order(self) -> Ints | None:
        """`(N,) int64` place of each image by a hash of its id; None without image ids.

        Images at equal distances are ranked by it, which favours nobody: names of files often
        begin with the person, and the order of rows would put some persons always first.
        """
        if self.image_ids is None:
            return None
        names = map(str, self.image_ids.tolist())
        digests = b"".join(hashlib.blake2b(n.encode(), digest_size=8).digest() for n in names)
        order = np.lexsort((self.image_ids, np.frombuffer(digests, ">u8")))
        places = np.empty(len(order), np.int64)
        places[order] = np.arange(len(order))
        return places

    def reading_order(self, length: int) -> Ints:
        """`(N,)` row numbers in the order of image ids; as they come where there are none."""
        if self.image_ids is None:
            return np.arange(length)
        return np.argsort(self.image_ids, kind="stable")


def unknown_of(column: Column) -> int | str:
    """What stands for an unknown value in a column."""
    return NO_NAME if column.dtype.kind == "U" else UNKNOWN


def joint_codes(query: Column, gallery: Column, name: str) -> tuple[Ints, Ints]:
    """One numbering for a column of both sides, -1 where unknown.

    Raises:
        DataError: Numbers on one side and names on the other.
    """
    if (query.dtype.kind == "U") != (gallery.dtype.kind == "U"):
        raise DataError(
            f"{name} are names on one side and numbers on the other; give both in one form."
        )
    if query.dtype.kind != "U":
        return query.astype(np.int64), gallery.astype(np.int64)
    names, codes = np.unique(np.concatenate([query, gallery]), return_inverse=True)
    codes = np.where(names[codes] == NO_NAME, UNKNOWN, codes).astype(np.int64)
    return codes[: len(query)], codes[len(query) :]


def _numbers(values: ArrayLike | None, name: str) -> Ints | None:
    if values is None:
        return None
    column = to_numpy(values)
    if column.ndim != 1 or not np.issubdtype(column.dtype, np.integer):
        gaps = column.dtype.kind == "f" and np.isnan(column).any()
        raise DataError(
            f"{name} must be whole numbers, one per image, -1 where unknown; received "
            f"{column.dtype} of shape {column.shape}"
            + (f" with {int(np.isnan(column).sum())} NaN: write -1 there." if gaps else ".")
        )
    return column.astype(np.int64)


def _names(values: ArrayLike | None, name: str) -> Column | None:
    if values is None:
        return None
    column = to_numpy(values)
    if column.dtype == object and all(value is None or isinstance(value, str) for value in column):
        column = np.array([value or NO_NAME for value in column], dtype=np.str_)
    if column.ndim != 1 or column.dtype.kind not in "iuU":
        raise DataError(
            f"{name} must be whole numbers (-1 where unknown) or names (empty where unknown), one "
            f"per image; received {column.dtype} of shape {column.shape}."
        )
    return column


def _mask(values: ArrayLike | None) -> NDArray[np.bool_] | None:
    if values is None:
        return None
    mask = to_numpy(values)
    if mask.ndim != 1 or mask.dtype != np.bool_:
        raise DataError(
            "distractors must be a mask of booleans, one per image; received "
            f"{mask.dtype} of shape {mask.shape}."
        )
    return mask
