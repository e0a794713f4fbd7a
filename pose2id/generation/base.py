"""The protocol of a picture generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class Generator(Protocol):
    """Re-draws the person of each reference picture in given poses.

    Attributes:
        name: Short name for tables and messages.
        fingerprint: Hex sha256 of weights and the configuration that matters, never of a path.
        height_px: Height of the generated pictures.
        width_px: Width of the generated pictures.
        batch_size: References per batch. `__call__` always computes batches of exactly this many
            (shorter ones are padded), so that a picture never depends on its neighbours.
    """

    name: str
    fingerprint: str
    height_px: int
    width_px: int
    batch_size: int

    def __call__(
        self,
        references: Sequence[Image.Image],
        keypoints: NDArray[np.float32],
        noise_seeds: NDArray[np.uint64],
    ) -> NDArray[np.uint8]:
        """Draws pictures.

        Args:
            references: B pictures, any size and mode, B <= `batch_size`.
            keypoints: `(P, 18, 3) float32` OpenPose-18, x and y in [0, 1], confidence.
            noise_seeds: `(B, P) uint64`, the seed of each picture's start noise.

        Returns:
            `(B, P, height_px, width_px, 3) uint8` RGB.

        Raises:
            DataError: The shapes of the arguments do not fit together.
        """
        ...
