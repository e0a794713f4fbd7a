"""Features that somebody else extracted, from the files that they come in.

A file holds a matrix `(N, D)` and may name its rows. Nothing that a file contains is run.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pose2id.errors import DataError

# What matrix and names are called inside files that hold several arrays.
FEATURE_NAMES: Final = ("features", "feature", "feats", "feat", "embeddings")
ID_NAMES: Final = ("ids", "image_ids", "image_id", "id")
POSE_NAMES: Final = ("pose_ids", "pose_id")


@dataclass(frozen=True, slots=True)
class FeatureFile:
    """Features of one set.

    Attributes:
        features: `(N, D)`, finite float32; of an `.npy` file it stays on disk until it is used.
        ids: N names of rows, each once; None where rows are in index order.
        pose_ids: `(N,) int64`, -1 = the image itself, else which drawing of it; None = no drawings.
    """

    features: NDArray[np.float32]
    ids: list[str] | None = None
    pose_ids: NDArray[np.int64] | None = None


def read_features(path: Path) -> FeatureFile:
    """Reads an `.npy`, `.npz`, `.pt` or `.mat` file.

    Args:
        path: The file. One with several arrays calls them `features`, `ids` and `pose_ids`.

    Returns:
        What it holds, checked.

    Raises:
        DataError: The file is missing, damaged, would run code, or holds no usable matrix.
    """
    if path.suffix.lower() not in READERS:
        raise DataError(f"{path} ends in none of {', '.join(READERS)}; save the features as one")
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    try:
        content = READERS[path.suffix.lower()](path)
    except (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(f"{path} is damaged or no such file: {reason}") from error
    except (pickle.UnpicklingError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0][:200]
        raise DataError(f"{path} holds more than arrays, or is damaged: {reason}") from error
    return checked_features(path, *_parts(path, content))


def _npy(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def _pt(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def _mat(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(str(path))
    except (MatReadError, TypeError) as error:
        raise ValueError(str(error)) from error
    return {name: value for name, value in content.items() if not name.startswith("__")}


READERS: Final[Mapping[str, Callable[[Path], Any]]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".pt": _pt,
    ".mat": _mat,
}


def _parts(path: Path, content: Any) -> tuple[Any, Any, Any]:  # noqa: ANN401 - from a file
    """Matrix, names and pose numbers out of what a file holds."""
    if not isinstance(content, Mapping):
        return content, None, None
    found = [
        next((name for name in names if name in content), None)
        for names in (FEATURE_NAMES, ID_NAMES, POSE_NAMES)
    ]
    matrix, ids, poses = found
    if matrix is None:
        wide = [name for name, value in content.items() if len(np.shape(value)) == 2]
        if len(wide) != 1:
            raise DataError(
                f"{path} holds {', '.join(map(str, content)) or 'nothing'}; call the matrix "
                f"{FEATURE_NAMES[0]!r}"
            )
        matrix = wide[0]
    return content[matrix], ids and content[ids], poses and content[poses]


def checked_features(path: Path, matrix: Any, ids: Any, pose_ids: Any) -> FeatureFile:  # noqa: ANN401
    """Features as they must be.

    Args:
        path: Where they are from, for messages.
        matrix: `(N, D)` numbers.
        ids: N names, or None.
        pose_ids: N whole numbers, or None.

    Returns:
        The checked features.

    Raises:
        DataError: No matrix, NaN among the numbers, or names that are missing or there twice.

    Example:
        >>> checked_features(Path("a"), [[1, 2]], ["x"], None).ids
        ['x']
    """
    try:
        features = np.asanyarray(matrix)
        if features.dtype != np.float32:
            features = features.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: the features are no numbers ({error})") from error
    if features.ndim != 2 or 0 in features.shape:
        raise DataError(
            f"{path} holds an array of shape {features.shape}; (images, dimensions) is needed"
        )
    bad = _not_finite(features)
    if bad.size:
        raise DataError(
            f"{path}: {bad.size} of {len(features)} rows hold NaN or infinite values, the first is "
            f"row {bad[0]}; extract these images again or leave them out"
        )
    names = None if ids is None else _names(path, ids, len(features))
    poses = None if pose_ids is None else np.ravel(np.asarray(pose_ids)).astype(np.int64)
    if poses is not None and len(poses) != len(features):
        raise DataError(f"{path} has {len(features)} rows but {len(poses)} pose_ids")
    if names is not None:
        keys = names if poses is None else list(zip(names, poses.tolist(), strict=True))
        _refuse_twice(path, keys)
    return FeatureFile(features, names, poses)


def _not_finite(features: NDArray[np.float32], rows_at_once: int = 65536) -> NDArray[np.int64]:
    """Rows with NaN or infinite values, some rows at a time."""
    parts = [
        start + np.flatnonzero(~np.isfinite(features[start : start + rows_at_once]).all(axis=1))
        for start in range(0, len(features), rows_at_once)
    ]
    return np.concatenate(parts)


def _names(path: Path, ids: Any, count: int) -> list[str]:  # noqa: ANN401 - from a file
    values = ids if isinstance(ids, list) else np.ravel(np.asarray(ids)).tolist()
    names = [str(np.ravel(v)[0]) if isinstance(v, np.ndarray) else str(v) for v in values]
    names = [name.strip() for name in names]
    if len(names) != count:
        raise DataError(f"{path} has {count} rows but {len(names)} ids")
    if "" in names:
        raise DataError(f"{path}: row {names.index('')} has an empty id")
    return names


def _refuse_twice(path: Path, keys: list[Any]) -> None:
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise DataError(
            f"{path}: {len(twice)} ids are there more than once, such as {twice[0]}; keep one row "
            "of each"
        )


def in_order(path: Path, file: FeatureFile, wanted: list[str]) -> NDArray[np.int64]:
    """The row of each image that is wanted.

    Args:
        path: Where the features are from, for messages.
        file: Features of originals alone.
        wanted: Image ids; where the file has no ids, its rows must be in this order.

    Returns:
        `(len(wanted),)` row numbers.

    Raises:
        DataError: Another number of rows, or an image without features.

    Example:
        >>> file = checked_features(Path("a"), [[1], [2]], ["x", "y"], None)
        >>> in_order(Path("a"), file, ["y"]).tolist()
        [1]
    """
    if file.ids is None:
        if len(file.features) != len(wanted):
            raise DataError(
                f"{path} has {len(file.features)} rows, but there are {len(wanted)} images; give "
                "ids, or one row for each image in order"
            )
        return np.arange(len(wanted))
    row_of = {name: row for row, name in enumerate(file.ids)}
    missing = [name for name in wanted if name not in row_of]
    if missing:
        raise DataError(
            f"{path} lacks {len(missing)} of {len(wanted)} images, such as {missing[0]}; it has "
            f"ids such as {file.ids[0]}"
        )
    return np.array([row_of[name] for name in wanted], dtype=np.int64)
