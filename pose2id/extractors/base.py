"""The protocol of a feature network and the declaration of the input that it wants."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from pose2id.choices import ChannelOrder
from pose2id.errors import ParamsError
from pose2id.extractors.families import Side

if TYPE_CHECKING:
    import torch

MAX_SIDE_PX: Final = 8192
IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
NO_SIDE: Final = -1  # in place of a camera or modality: a drawing, or nothing is known

Sides = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How pictures must look before they enter a network.

    Attributes:
        height_px: Height that pictures are resized to (bilinear), 1 to 8192.
        width_px: Width that pictures are resized to, 1 to 8192.
        channel_order: `rgb` or `bgr`.
        max_value: 255.0 keeps 0..255, 1.0 divides by 255, before mean and std.
        mean: Subtracted per channel, in the network's channel order, after scaling.
        std: Divisor per channel, in the network's channel order, after the mean; above 0.

    Raises:
        ParamsError: A number that no network can want.
    """

    height_px: int
    width_px: int
    channel_order: ChannelOrder = "rgb"
    max_value: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        for name, side in (("height_px", self.height_px), ("width_px", self.width_px)):
            if not 1 <= side <= MAX_SIDE_PX:
                raise ParamsError(f"features.input.{name} is {side}; 1 to {MAX_SIDE_PX} is allowed")
        if not (math.isfinite(self.max_value) and self.max_value > 0):
            raise ParamsError(
                f"features.input.max_value is {self.max_value}; a number above 0 is needed"
            )
        if not all(map(math.isfinite, self.mean)):
            raise ParamsError(
                f"features.input.mean is {self.mean}; three finite numbers are needed"
            )
        if not all(math.isfinite(value) and value > 0 for value in self.std):
            raise ParamsError(
                f"features.input.std is {self.std}; pictures are divided by it, so three numbers "
                "above 0 are needed"
            )


@dataclass(frozen=True, slots=True)
class Request:
    """What the loader of a family is given.

    Attributes:
        name: The name that was asked for, such as `osnet` or `timm:resnet50`.
        model: File or folder of the network.
        options: Instance of the family's class of options.
        input_spec: The declared input; None = the family's own.
        output: Name of the output that holds the feature, where there are several.
        dim: Declared width of a feature, checked.
        device: Where to compute.
    """

    name: str
    model: Path
    options: Any
    input_spec: InputSpec | None
    output: str | None
    dim: int | None
    device: torch.device


class Extractor(Protocol):
    """A feature network.

    Attributes:
        name: Short name for tables and messages.
        fingerprint: Hex sha256 of weights and the configuration that matters, never of a path.
        dim: Width D of a feature.
        input_spec: Size and value range that `__call__` brings pictures to itself.
        side: What else the network wants to know of a picture: `none`, its `camera` (as numbered
            in the index) or its `modality` (0 visible, 1 infrared).
        files: The files that the fingerprint hashes; installed packages are not among them.
    """

    name: str
    fingerprint: str
    dim: int
    input_spec: InputSpec
    side: Side
    files: tuple[Path, ...]

    def __call__(
        self, images: NDArray[np.uint8], sides: Sides | None = None
    ) -> NDArray[np.float32]:
        """Extracts features.

        Args:
            images: `(B, H, W, 3) uint8` RGB with H, W equal to `input_spec`.
            sides: `(B,) int64` of what `side` names, -1 for a drawing or where nothing is known;
                None is -1 for all. A network whose `side` is `none` does not look at it.

        Returns:
            `(B, D) float32`, raw (not normalised).
        """
        ...
