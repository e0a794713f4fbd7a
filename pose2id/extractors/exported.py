"""What ONNX and OpenVINO networks have in common: checks of a declared input and output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2id.errors import WeightsError
from pose2id.extractors.base import InputSpec


def check_input(path: Path, shapes: Sequence[Sequence[int | None]], spec: InputSpec) -> None:
    """Checks a network's inputs against the declared one.

    Args:
        path: The network, for messages.
        shapes: Shape of every input; `None` where any size is accepted.
        spec: The declared input.

    Raises:
        WeightsError: There is not exactly one input of shape `(B, 3, H, W)`.
    """
    if len(shapes) != 1:
        raise WeightsError(f"{path} has {len(shapes)} inputs; a feature network has one, pictures")
    (shape,) = shapes
    wanted = (None, 3, spec.height_px, spec.width_px)
    if len(shape) != 4 or any(
        have is not None and want is not None and have != want
        for have, want in zip(shape, wanted, strict=True)
    ):
        last = " Its channels come last: export it with channels first" * (
            len(shape) == 4 and shape[3] == 3 and shape[1] != 3
        )
        raise WeightsError(
            f"{path} takes an input of shape {_written(shape)}; features.input declares "
            f"{_written(wanted)} (batch, channels, height, width).{last}"
        )


def pick_output(path: Path, names: Sequence[Sequence[str]], wanted: str | None) -> int:
    """Finds the output that holds the features.

    Args:
        path: The network, for messages.
        names: The names of every output (OpenVINO allows several for one).
        wanted: The name that was asked for.

    Returns:
        Number of the output.

    Raises:
        WeightsError: There is no such output, or several and none was named.
    """
    if wanted is None and len(names) == 1:
        return 0
    for number, aliases in enumerate(names):
        if wanted is not None and wanted in aliases:
            return number
    known = [alias for aliases in names for alias in aliases]
    asked = "none was named" if wanted is None else f"{wanted!r} was asked for"
    raise WeightsError(f"{path} has the outputs {known}, {asked}; set features.output to one")


def as_features(path: Path, output: NDArray[np.generic], n_images: int) -> NDArray[np.float32]:
    """Brings an output to `(B, D) float32`, dropping axes of size 1.

    Raises:
        WeightsError: The output has another shape.

    Example:
        >>> as_features(Path("net"), np.ones((2, 1, 3)), 2).shape
        (2, 3)
    """
    wide = [size for size in output.shape[1:] if size != 1]
    if output.ndim < 2 or len(output) != n_images or len(wide) > 1:
        raise WeightsError(
            f"{path} gives an output of shape {output.shape} for {n_images} pictures; "
            f"({n_images}, D) is needed. Name the pooled feature with features.output"
        )
    return np.array(output.reshape(n_images, -1), dtype=np.float32)


def check_dim(path: Path, dim: int, declared: int | None) -> int:
    """Checks the width of a feature against the declared one.

    Raises:
        WeightsError: They differ.
    """
    if declared is not None and declared != dim:
        raise WeightsError(
            f"{path} gives features of {dim} numbers; features.dim declares {declared}. Correct "
            "one of the two, or leave features.dim out"
        )
    return dim


def _written(shape: Sequence[int | None]) -> str:
    return "(" + ", ".join("?" if size is None else str(size) for size in shape) + ")"
