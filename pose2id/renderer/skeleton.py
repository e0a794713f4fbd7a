"""Three-dimensional joints: a walker seen from any side, and depths for the standard poses.

Joints are `(18, 3) float32` in OpenPose-18 order: nose, neck, right shoulder, elbow, wrist, left
shoulder, elbow, wrist, right hip, knee, ankle, left hip, knee, ankle, right eye, left eye, right
ear, left ear. x and y are fractions of the picture's width and height, z is nearness to the viewer
in picture heights. Pictures are taken to be half as wide as high.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Joints = NDArray[np.float32]

_SHOULDER, _HIP = 0.122, 0.072
_UPPER_ARM, _FOREARM, _THIGH, _SHIN = 0.150, 0.140, 0.215, 0.215


def walking_joints(azimuth_deg: float, phase: float, rng: np.random.Generator) -> Joints:
    """Poses a walker.

    Args:
        azimuth_deg: Where the person looks: 0 at the viewer, 90 to the picture's right, 180 away.
        phase: Place in the walking cycle, in [0, 1).
        rng: Decides stride, arm swing, turn of the head and place in the picture.

    Returns:
        `(18, 3) float32` joints.
    """
    stride, swing = rng.uniform(0.35, 1.0), rng.uniform(0.2, 1.0)
    lean, flexion = rng.uniform(-0.01, 0.03), rng.uniform(0.1, 0.6)
    body = np.zeros((18, 3))  # (forward, left, down) in picture heights, before turning
    body[1] = (lean, 0, 0.195)
    for start, sign in ((2, -1.0), (5, 1.0)):
        angle = -sign * np.sin(2 * np.pi * phase) * 0.55 * swing
        spread = sign * rng.uniform(0.01, 0.05)
        body[start] = (lean, sign * _SHOULDER, 0.2)
        body[start + 1] = body[start] + _limb(_UPPER_ARM, angle, spread)
        body[start + 2] = body[start + 1] + _limb(_FOREARM, angle + flexion, spread * 0.3)
    for start, sign in ((8, -1.0), (11, 1.0)):
        turn = 2 * np.pi * phase + (0 if sign > 0 else np.pi)
        angle = np.sin(turn) * 0.5 * stride
        bend = 0.06 + 0.95 * stride * max(0.0, np.cos(turn)) ** 2
        body[start] = (0, sign * _HIP, 0.505)
        body[start + 1] = body[start] + _limb(_THIGH, angle, 0)
        body[start + 2] = body[start + 1] + _limb(_SHIN, angle - bend, 0)
    head = _head(np.deg2rad(rng.normal(0, 15)))
    body[[0, 14, 15, 16, 17]] = head + np.array([lean + 0.012, 0, 0])
    joints = _turn(body, np.deg2rad(azimuth_deg))
    return _frame(joints, rng)


def _limb(length: float, angle: float, outward: float) -> NDArray[np.float64]:
    return np.array([length * np.sin(angle), outward, length * np.cos(angle)])


def _head(turn_rad: float) -> NDArray[np.float64]:
    """Nose, right eye, left eye, right ear, left ear around the neck, head turned to its left."""
    points = np.array(
        [
            (0.066, 0.0, 0.092),
            (0.055, -0.022, 0.076),
            (0.055, 0.022, 0.076),
            (0.0, -0.054, 0.084),
            (0.0, 0.054, 0.084),
        ]
    )
    cos, sin = np.cos(turn_rad), np.sin(turn_rad)
    forward = points[:, 0] * cos - points[:, 1] * sin
    left = points[:, 0] * sin + points[:, 1] * cos
    return np.stack([forward, left, points[:, 2]], 1)


def _turn(body: NDArray[np.float64], azimuth_rad: float) -> NDArray[np.float64]:
    cos, sin = np.cos(azimuth_rad), np.sin(azimuth_rad)
    right = body[:, 0] * sin + body[:, 1] * cos
    near = body[:, 0] * cos - body[:, 1] * sin
    return np.stack([right, body[:, 2], near], 1)


def _frame(joints: NDArray[np.float64], rng: np.random.Generator) -> Joints:
    """Puts picture-height units into the picture: feet near the bottom, with jitter."""
    joints[:, 1] += 0.05 * joints[:, 2]  # the camera looks down a little
    joints[:, 1] += 0.925 - max(joints[10, 1], joints[13, 1])
    scale = rng.uniform(0.93, 1.04)
    centre = (joints[:, 0].min() + joints[:, 0].max()) / 2 * 0.5
    x = 0.5 + 2 * scale * (joints[:, 0] - centre) + rng.uniform(-0.05, 0.05)
    y = 0.5 + scale * (joints[:, 1] - 0.5) + rng.uniform(-0.015, 0.015)
    return np.stack([x, y, joints[:, 2] * scale], 1).astype(np.float32)
