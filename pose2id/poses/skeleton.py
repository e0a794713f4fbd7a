"""Draws OpenPose-18 key points the way that Pose2ID's pose guider was trained to read them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pose2id.errors import DataError

JOINT_NAMES: Final = (
    "nose",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
)
N_JOINTS: Final = len(JOINT_NAMES)

# Joint pairs in painting order: a later limb covers an earlier one where they cross.
LIMBS: Final = (
    (1, 2),
    (1, 5),
    (2, 3),
    (3, 4),
    (5, 6),
    (6, 7),
    (1, 8),
    (8, 9),
    (9, 10),
    (1, 11),
    (11, 12),
    (12, 13),
    (1, 0),
    (0, 14),
    (14, 16),
    (0, 15),
    (15, 17),
)

# OpenPose's colour wheel with red and blue exchanged: the official pose pictures were saved that
# way, so these are the RGB colours that the official weights know. Limb i has joint i's colour.
COLOURS: Final = (
    (0, 0, 255),
    (0, 85, 255),
    (0, 170, 255),
    (0, 255, 255),
    (0, 255, 170),
    (0, 255, 85),
    (0, 255, 0),
    (85, 255, 0),
    (170, 255, 0),
    (255, 255, 0),
    (255, 170, 0),
    (255, 85, 0),
    (255, 0, 0),
    (255, 0, 85),
    (255, 0, 170),
    (255, 0, 255),
    (170, 0, 255),
    (85, 0, 255),
)

# Sizes below hold for a picture 128 px high and grow with the height.
_REFERENCE_HEIGHT_PX: Final = 128
_LIMB_HALF_WIDTH_PX: Final = 1
_DISC_RADIUS_PX: Final = 2
_LIMB_INTENSITY: Final = 0.6
_TURN: Final = np.deg2rad(np.arange(361))


def draw_skeleton(
    keypoints: NDArray[np.float32], height_px: int, width_px: int
) -> NDArray[np.uint8]:
    """Draws one skeleton on black: limbs as thin ellipses at 60 %, bright joint discs on top.

    At 128x64 the result is, up to their JPEG artefacts, the official standard pose pictures. A
    joint of confidence 0 is left out together with its limbs; joints outside the picture are
    clipped.

    Args:
        keypoints: `(18, 3) float32` OpenPose-18: x and y in [0, 1] of width and height,
            confidence.
        height_px: Height of the picture.
        width_px: Width of the picture.

    Returns:
        `(height_px, width_px, 3) uint8` RGB.

    Raises:
        DataError: `keypoints` has another shape, or a joint that counts is not finite.

    Example:
        >>> nose = np.zeros((18, 3), np.float32)
        >>> nose[0] = 0.5, 0.25, 1.0
        >>> picture = draw_skeleton(nose, 128, 64)
        >>> picture.shape, picture[32, 32].tolist()
        ((128, 64, 3), [0, 0, 255])
    """
    points = np.asarray(keypoints, dtype=np.float64)
    if points.shape != (N_JOINTS, 3):
        raise DataError(
            f"A skeleton needs key points of shape (18, 3) in OpenPose-18 order, got "
            f"{points.shape}; pose2id.poses.formats converts other formats."
        )
    seen = points[:, 2] > 0  # (18,)
    if not np.isfinite(points[seen]).all():
        raise DataError(
            "Key points with a confidence above 0 must be finite; give a missing joint "
            "confidence 0."
        )
    xy = points[:, :2] * (width_px, height_px)  # (18, 2) pixels
    scale = height_px / _REFERENCE_HEIGHT_PX
    canvas = Image.new("RGB", (width_px, height_px))
    _paint_limbs(canvas, xy, seen, max(1, round(scale * _LIMB_HALF_WIDTH_PX)))
    picture = (np.asarray(canvas) * _LIMB_INTENSITY).astype(np.uint8)  # (H, W, 3)
    _paint_discs(picture, xy, seen, max(1, round(scale * _DISC_RADIUS_PX)))
    return picture


def _paint_limbs(
    canvas: Image.Image, xy: NDArray[np.float64], seen: NDArray[np.bool_], half_width_px: int
) -> None:
    """Fills one ellipse per limb whose two joints are seen.

    Centre, half length and angle lose their fractions and the outline is rounded to whole pixels,
    because the official pictures were drawn so; it decides how thick a slanted limb looks.
    """
    pen = ImageDraw.Draw(canvas)
    for colour, (a, b) in zip(COLOURS, LIMBS, strict=False):
        if not (seen[a] and seen[b]):
            continue
        centre = np.trunc((xy[a] + xy[b]) / 2)  # (2,)
        dx, dy = xy[a] - xy[b]
        half_length = int(np.hypot(dx, dy) / 2)
        angle = np.deg2rad(int(np.rad2deg(np.arctan2(dy, dx))))
        along = np.array([np.cos(angle), np.sin(angle)]) * half_length
        across = np.array([-np.sin(angle), np.cos(angle)]) * half_width_px
        outline = np.rint(centre + np.outer(np.cos(_TURN), along) + np.outer(np.sin(_TURN), across))
        turns = np.any(np.diff(outline, axis=0, prepend=np.inf) != 0, axis=1)
        pen.polygon(outline[turns].ravel().tolist(), fill=colour, outline=colour)


def _paint_discs(
    picture: NDArray[np.uint8], xy: NDArray[np.float64], seen: NDArray[np.bool_], radius_px: int
) -> None:
    """Sets the pixels within `radius_px` of each seen joint, in joint order."""
    height_px, width_px, _ = picture.shape
    offsets = np.mgrid[-radius_px : radius_px + 1, -radius_px : radius_px + 1].reshape(2, -1)
    dy, dx = offsets[:, (offsets**2).sum(axis=0) <= radius_px**2]
    for joint in np.flatnonzero(seen):
        column, row = np.trunc(xy[joint]).astype(int)[:, None] + (dx, dy)
        inside = (column >= 0) & (column < width_px) & (row >= 0) & (row < height_px)
        picture[row[inside], column[inside]] = COLOURS[joint]
