"""Where a person is, judged by key points alone: thick limbs, a trunk and a head, softly edged."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

# Radii in parts of the person's height.
_LIMBS = (
    ((2, 3, 4), 0.045),  # right arm
    ((5, 6, 7), 0.045),
    ((8, 9, 10), 0.055),  # right leg
    ((11, 12, 13), 0.055),
    ((2, 5), 0.06),
    ((8, 11), 0.075),
    ((2, 8), 0.065),
    ((5, 11), 0.065),
    ((1, 8), 0.06),
    ((1, 11), 0.06),
    ((1, 0), 0.055),
)
_ANKLES = (10, 13)
_FOOT = 0.05
_HEAD = (0, 14, 15, 16, 17)
_HEAD_RADIUS = 0.08
_HEAD_TO_ANKLE = 0.87  # of the height, between the nose and the ankles
_EDGE = 0.012
MIN_CONFIDENCE = 0.2


def person_height(keypoints: NDArray[np.float32]) -> float | None:
    """How tall a person is, judged by nose and ankles.

    Args:
        keypoints: `(18, 3) float32` OpenPose-18: x, y in [0, 1] and confidence.

    Returns:
        Part of the picture's height; None where nose, hips and ankles are not known well enough, or
        where the person is less than a quarter of the picture.
    """
    known = keypoints[:, 2] >= MIN_CONFIDENCE
    if not (known[0] and known[[8, 11]].all() and known[list(_ANKLES)].any()):
        return None
    lowest = max(float(keypoints[joint, 1]) for joint in _ANKLES if known[joint])
    tall = (lowest - float(keypoints[0, 1])) / _HEAD_TO_ANKLE
    return tall if tall >= 0.25 else None


def body_mask(
    keypoints: NDArray[np.float32], height_px: int, width_px: int
) -> NDArray[np.float32] | None:
    """Covers the body that key points describe.

    Args:
        keypoints: `(18, 3) float32` OpenPose-18: x, y in [0, 1] and confidence.
        height_px: Height of the mask.
        width_px: Width of the mask.

    Returns:
        `(height_px, width_px) float32` in [0, 1]; None where `person_height` is not known.

    >>> from pose2id.poses.standard import STANDARD_POSES
    >>> mask = body_mask(STANDARD_POSES[0], 64, 32)
    >>> float(mask[32, 16]) > 0.9, float(mask[0, 0])
    (True, 0.0)
    """
    tall = person_height(keypoints)
    if tall is None:
        return None
    height = tall * height_px
    known = keypoints[:, 2] >= MIN_CONFIDENCE
    points = keypoints[:, :2] * np.array([width_px, height_px], np.float32)  # (18, 2) px
    feet = points[[joint for joint in _ANKLES if known[joint]]]
    y, x = np.mgrid[:height_px, :width_px].astype(np.float32) + 0.5
    grid = np.stack([x, y], axis=-1)  # (H, W, 2)
    outside = [_to_segment(grid, foot, foot) - _FOOT * height for foot in feet]
    for chain, radius in _LIMBS:
        for a, b in pairwise(chain):
            if known[a] and known[b]:
                outside.append(_to_segment(grid, points[a], points[b]) - radius * height)
    head = points[[joint for joint in _HEAD if known[joint]]].mean(axis=0)
    outside.append(_to_segment(grid, head, head) - _HEAD_RADIUS * height)
    distance = np.min(outside, axis=0)  # (H, W) px, negative inside
    mask: NDArray[np.float32] = np.clip(0.5 - distance / (2 * _EDGE * height), 0.0, 1.0)
    return mask.astype(np.float32)


def _to_segment(
    grid: NDArray[np.float32], a: NDArray[np.float32], b: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Distance of every pixel to the line from a to b, `(H, W)` px."""
    along = b - a
    length = float(along @ along)
    part = np.zeros(grid.shape[:2], np.float32)
    if length > 0:
        part = np.clip((grid - a) @ along / length, 0.0, 1.0)
    found: NDArray[np.float32] = np.linalg.norm(grid - a - part[..., None] * along, axis=-1)
    return found
