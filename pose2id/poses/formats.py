"""Conversion of other key point formats to OpenPose-18, the one this package draws."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose2id.errors import DataError

# For each OpenPose-18 joint but the neck, its number in the other format.
_BODY_25: Final = (0, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
_COCO_17: Final = (0, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_BLAZEPOSE_33: Final = (0, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
_OPENPOSE_18: Final = (0, *range(2, 18))

FORMATS: Final[Mapping[str, tuple[int, tuple[int, ...]]]] = MappingProxyType(
    {
        "blazepose33": (33, _BLAZEPOSE_33),
        "body25": (25, _BODY_25),
        "coco17": (17, _COCO_17),
        "openpose18": (18, _OPENPOSE_18),
    }
)
_HAVE_NECK: Final = ("body25", "openpose18")  # both number it 1
_NECK, _RIGHT_SHOULDER, _LEFT_SHOULDER = 1, 2, 5


def to_openpose18(keypoints: NDArray[np.floating], source: str) -> NDArray[np.float32]:
    """Reorders key points; the neck, where missing, is put midway between the shoulders.

    The new neck is as sure as the less sure shoulder.

    Args:
        keypoints: `(..., K, 3)`: x, y, confidence, in any unit.
        source: A key of `FORMATS`: `coco17`, `body25`, `blazepose33` or `openpose18`.

    Returns:
        `(..., 18, 3) float32` in the same unit.

    Raises:
        DataError: The format is unknown or the shape is not its own.

    Example:
        >>> person = np.ones((17, 3))
        >>> person[5], person[6] = (4.0, 2.0, 0.9), (2.0, 2.0, 0.5)  # left, right shoulder
        >>> to_openpose18(person, "coco17")[1].tolist()
        [3.0, 2.0, 0.5]
    """
    if source not in FORMATS:
        raise DataError(f"there is no key point format {source!r}; {', '.join(FORMATS)} are known")
    n_joints, numbers = FORMATS[source]
    points = np.asarray(keypoints, dtype=np.float32)
    if points.ndim < 2 or points.shape[-2:] != (n_joints, 3):
        raise DataError(
            f"key points of format {source!r} have the shape (..., {n_joints}, 3): x, y and "
            f"confidence of each joint; got {points.shape}"
        )
    converted = np.empty((*points.shape[:-2], 18, 3), dtype=np.float32)  # (..., 18, 3)
    others = [joint for joint in range(18) if joint != _NECK]
    converted[..., others, :] = points[..., list(numbers), :]
    if source in _HAVE_NECK:
        converted[..., _NECK, :] = points[..., _NECK, :]
    else:
        shoulders = converted[..., [_RIGHT_SHOULDER, _LEFT_SHOULDER], :]  # (..., 2, 3)
        converted[..., _NECK, :2] = shoulders[..., :2].mean(axis=-2)
        converted[..., _NECK, 2] = shoulders[..., 2].min(axis=-1)
    return converted
