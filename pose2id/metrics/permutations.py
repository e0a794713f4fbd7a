"""SYSU-MM01's official gallery permutations, as its authors publish them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2id.errors import DataError
from pose2id.features import Ints

# (camera, person), both numbered from 1 -> (trials, images), numbers of images from 1
Permutations = dict[tuple[int, int], Ints]

_FIELD = "rand_perm_cam"


def read_permutations(path: Path) -> Permutations:
    """Reads `rand_perm_cam.mat`.

    Args:
        path: The file: for each camera a cell per person, each of trials x images.

    Returns:
        The order of images of every person and camera that has any, per trial.

    Raises:
        DataError: No such file, or not what it should be.
    """
    from scipy.io import loadmat

    if not path.is_file():
        raise DataError(
            f"there is no file {path} with SYSU-MM01's permutations; it is rand_perm_cam.mat of "
            "the dataset's evaluation code (folder data_split). Without it choose a protocol that "
            "ends in _seeded."
        )
    try:
        cameras = loadmat(str(path))[_FIELD].ravel()
        orders = {
            (camera, person): _order(cell)
            for camera, people in enumerate(cameras, 1)
            for person, cell in enumerate(people.ravel(), 1)
            if cell.size
        }
    except Exception as error:
        raise DataError(
            f"{path} is not SYSU-MM01's rand_perm_cam.mat: {type(error).__name__}: {error}"
        ) from error
    if len({order.shape[0] for order in orders.values()}) != 1:
        raise DataError(f"{path} must hold the same number of trials for every person and camera.")
    return orders


def _order(cell: NDArray[np.integer]) -> Ints:
    order = np.asarray(cell, dtype=np.int64)
    if order.ndim != 2 or not (np.sort(order, axis=1) == np.arange(1, order.shape[1] + 1)).all():
        raise ValueError("a cell is no permutation of image numbers per trial")
    return order
