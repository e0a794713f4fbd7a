"""The eight standard poses of Pose2ID, as key points."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Final

import numpy as np
from numpy.typing import NDArray


def _load() -> NDArray[np.float32]:
    """Reads `standard.json`, recovered from the official pictures (Pose2ID, MIT licence).

    Two joints are missing there and have confidence 0: the left wrist of the third pose and the
    right wrist of the sixth.

    Returns:
        `(8, 18, 3) float32`, read-only.
    """
    text = (files(__package__) / "standard.json").read_text(encoding="utf-8")
    poses = np.array(json.loads(text), dtype=np.float32)  # (8, 18, 3)
    poses.setflags(write=False)
    return poses


# (8, 18, 3) float32: x and y in [0, 1] of width and height, confidence; official order 1..8.
STANDARD_POSES: Final = _load()
