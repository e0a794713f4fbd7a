"""`cuhk-03.mat`, unpacked to the new protocol's folders by its two split files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pose2id.errors import DataError, MissingDependencyError

CUHK03_FILE: Final = "cuhk-03.mat"
BOXES: Final = ("labeled", "detected")
FOLDERS: Final = {
    "train_idx": "bounding_box_train",
    "query_idx": "query",
    "gallery_idx": "bounding_box_test",
}


def unpack_cuhk03(folder: Path, target: Path, advance: Callable[[], None]) -> None:
    """Writes `{labeled,detected}/<folder>/<pid>_c<camera>_<number>.png`.

    The number is the image's place in the split file, so that names say where they come from.

    Raises:
        DataError: A file is missing or does not hold what its name says.
        MissingDependencyError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError(
            "cuhk-03.mat is an HDF5 file: pip install 'pose2id[cuhk03]'"
        ) from error
    configs = {boxes: _config(folder, boxes) for boxes in BOXES}
    try:
        with h5py.File(folder / CUHK03_FILE, "r") as file:
            for boxes, config in configs.items():
                _unpack_boxes(file, boxes, config, target / boxes, advance)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{folder / CUHK03_FILE} is not CUHK03 as published: {error}") from error


def _unpack_boxes(
    file: Any,  # noqa: ANN401 - an h5py file
    boxes: str,
    config: dict[str, NDArray[Any]],
    target: Path,
    advance: Callable[[], None],
) -> None:
    names = [str(np.asarray(name).ravel()[0]) for name in config["filelist"].ravel()]
    pids, cameras = config["labels"].ravel(), config["camId"].ravel()
    for key, folder in FOLDERS.items():
        (target / folder).mkdir(parents=True)
        for number in config[key].ravel().astype(int):
            i = number - 1
            name = f"{int(pids[i]):04d}_c{int(cameras[i])}_{number:05d}.png"
            Image.fromarray(_picture(file, boxes, names[i])).save(target / folder / name)
            advance()


def _picture(file: Any, boxes: str, name: str) -> NDArray[np.uint8]:  # noqa: ANN401
    """`(H, W, 3) uint8`; a name is pair of cameras, person, view and place, counted from 1."""
    pair, person, _, place = (int(part) for part in name.removesuffix(".png").split("_"))
    people = file[file[boxes][0, pair - 1]]  # (10, people) references
    stored = np.asarray(file[people[place - 1, person - 1]])  # MATLAB's order: (3, W, H)
    if stored.ndim != 3 or stored.shape[0] != 3:
        raise ValueError(f"{name} has the shape {stored.shape}, not (3, width, height)")
    return np.ascontiguousarray(stored.T.astype(np.uint8))


def _config(folder: Path, boxes: str) -> dict[str, NDArray[Any]]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    path = folder / f"cuhk03_new_protocol_config_{boxes}.mat"
    try:
        config: dict[str, NDArray[Any]] = loadmat(path)
    except (OSError, ValueError, TypeError, MatReadError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); the new protocol's split files belong beside "
            f"{CUHK03_FILE}"
        ) from error
    missing = {"filelist", "labels", "camId", *FOLDERS} - set(config)
    if missing:
        raise DataError(f"{path} has no {', '.join(sorted(missing))}")
    return config
