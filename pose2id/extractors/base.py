"""The protocol of a feature network and the declaration of the input that it wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pose2id.choices import ChannelOrder


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How pictures must look before they enter a network.

    Attributes:
        height_px: Height that pictures are resized to (bilinear).
        width_px: Width that pictures are resized to.
        channel_order: `rgb` or `bgr`.
        max_value: 255.0 keeps 0..255, 1.0 divides by 255, before mean and std.
        mean: Subtracted per channel, in the network's channel order, after scaling.
        std: Divisor per channel, in the network's channel order, after the mean.
    """

    height_px: int
    width_px: int
    channel_order: ChannelOrder = "rgb"
    max_value: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


class Extractor(Protocol):
    """A feature network.

    Attributes:
        name: Short name for tables and messages.
        fingerprint: Hex sha256 of weights and the configuration that matters, never of a path.
        dim: Width D of a feature.
        input_spec: Size and value range that `__call__` brings pictures to itself.
    """

    name: str
    fingerprint: str
    dim: int
    input_spec: InputSpec

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Extracts features.

        Args:
            images: `(B, H, W, 3) uint8` RGB with H, W equal to `input_spec`.

        Returns:
            `(B, D) float32`, raw (not normalised).
        """
        ...
