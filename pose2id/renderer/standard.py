"""The eight standard poses in three dimensions: flat key points and where the body faces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pose2id.poses.standard import STANDARD_POSES

# Two wrists are missing from the official pictures; a body has to have them somewhere.
_XY = STANDARD_POSES[..., :2].copy()
_XY[2, 7] = (0.60, 0.49)
_XY[5, 4] = (0.70, 0.51)
# Where body and head look in each pose, in degrees (0 at the viewer, 90 to the picture's right),
# read off the order of left and right shoulders, hips and ears and the distances between them.
_BODY_AZIMUTH = (5, 15, 72, 113, -162, -122, -45, -35)
_HEAD_AZIMUTH = (0, 40, 80, 122, -140, -128, -30, -48)
_HALF_WIDTHS = {1: 0.0, 2: -0.13, 3: -0.15, 4: -0.16, 5: 0.13, 6: 0.15, 7: 0.16}
_HALF_WIDTHS |= {8: -0.08, 9: -0.08, 10: -0.08, 11: 0.08, 12: 0.08, 13: 0.08}
_HEAD = {0: (0.066, 0.0), 14: (0.055, -0.022), 15: (0.055, 0.022), 16: (0, -0.054), 17: (0, 0.054)}


def _depths(xy: NDArray[np.float32], body_deg: float, head_deg: float) -> list[float]:
    """Depth of each joint: its side of the body, and its stride where the view shows one."""
    body, head = np.deg2rad(body_deg), np.deg2rad(head_deg)
    centre = float(xy[8, 0] + xy[11, 0]) / 4  # a picture is half as wide as high
    depths = [0.0] * 18
    for joint, left in _HALF_WIDTHS.items():
        forward = 0.0
        if joint in (3, 4, 6, 7, 9, 10, 12, 13) and abs(np.sin(body)) > 0.5:
            shift = float(xy[joint, 0]) / 2 - centre - left * np.cos(body)
            forward = float(np.clip(shift / np.sin(body), -0.3, 0.3))
        depths[joint] = forward * np.cos(body) - left * np.sin(body)
    for joint, (forward, left) in _HEAD.items():
        depths[joint] = forward * np.cos(head) - left * np.sin(head)
    return depths


STANDARD_JOINTS: NDArray[np.float32] = np.concatenate(
    [
        _XY,
        np.array(
            [
                _depths(xy, body, head)
                for xy, body, head in zip(_XY, _BODY_AZIMUTH, _HEAD_AZIMUTH, strict=True)
            ],
            np.float32,
        )[..., None],
    ],
    axis=2,
)
"""`(8, 18, 3) float32`: x, y in [0, 1] of the picture, z nearness to the viewer in heights."""
