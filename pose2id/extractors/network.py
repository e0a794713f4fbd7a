"""A torch network behind the extractor protocol."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pose2id.errors import DataError, WeightsError
from pose2id.extractors.base import NO_SIDE, InputSpec, Request, Sides
from pose2id.extractors.exported import as_features, check_dim
from pose2id.extractors.families import Side
from pose2id.extractors.preprocess import fingerprint, normalize

# What networks raise on a picture that they cannot take; AssertionError is of `.pt2` programs.
FAILURES: Final = (
    *(RuntimeError, ValueError, TypeError, AttributeError),
    *(IndexError, AssertionError),
)


class TorchExtractor:
    """Runs a network on pictures, deterministically and without gradients.

    Args:
        network: Called with `(B, 3, H, W) float32` and, where it wants to know a side, with
            `(B,) int64`.
        name: Short name.
        fingerprint: Hex sha256 of what decides a feature.
        input_spec: What the network wants.
        files: The files that the fingerprint hashes.
        dim: Declared width of a feature, checked.
        device: Where to compute.
        side: What else the network wants to know of a picture.
        n_sides: How many cameras or modalities it knows.
        pick: Takes the feature out of what the network returns.

    Attributes:
        network: The network itself, which gives gradients.

    Raises:
        WeightsError: The network fails on a picture, or what it gives is no feature.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        fingerprint: str,
        input_spec: InputSpec,
        files: tuple[Path, ...] = (),
        dim: int | None = None,
        device: torch.device | None = None,
        side: Side = "none",
        n_sides: int = 0,
        pick: Callable[[Any], Any] = lambda output: output,
    ) -> None:
        self.name, self.fingerprint, self.input_spec = name, fingerprint, input_spec
        self.files, self.side, self._n_sides = files, side, n_sides
        self._device = device or torch.device("cpu")
        self.network, self._pick = network.to(self._device), pick
        black = np.zeros((1, input_spec.height_px, input_spec.width_px, 3), dtype=np.uint8)
        self.dim = check_dim(Path(name), self(black).shape[1], dim)

    @classmethod
    def of_checkpoint(
        cls,
        request: Request,
        network: nn.Module,
        input_spec: InputSpec,
        files: tuple[Path, ...],
        *,
        side: Side = "none",
        n_sides: int = 0,
    ) -> TorchExtractor:
        """An extractor as it was asked for, its fingerprint over files, input and options."""
        return cls(
            network,
            name=request.name,
            fingerprint=fingerprint(
                files, input_spec, network=request.name, options=repr(request.options)
            ),
            input_spec=input_spec,
            files=files,
            dim=request.dim,
            device=request.device,
            side=side,
            n_sides=n_sides,
        )

    def __call__(
        self, images: NDArray[np.uint8], sides: Sides | None = None
    ) -> NDArray[np.float32]:
        """Extracts features; see `pose2id.extractors.base.Extractor`."""
        x = torch.from_numpy(normalize(images, self.input_spec)).to(
            self._device, memory_format=torch.channels_last
        )
        inputs = (x,) if self.side == "none" else (x, self._sides(sides, len(x)))
        # TF32 and timed choices among algorithms would make features differ between runs.
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(deterministic=True, benchmark=False, allow_tf32=False),
        ):
            output = self._pick(self._run(inputs))
        if not isinstance(output, Tensor):
            raise WeightsError(
                f"{self.name} returns a {type(output).__name__}; a tensor of shape (B, D) is "
                "needed. Name the feature with features.output, or have the function return a "
                "network that gives it alone"
            )
        return as_features(Path(self.name), output.float().cpu().numpy(), len(x))

    def _run(self, inputs: tuple[Tensor, ...]) -> Any:  # noqa: ANN401 - whatever it returns
        try:
            return self.network(*inputs)
        except torch.OutOfMemoryError:
            raise  # a smaller batch helps; the weights are fine
        except FAILURES as error:
            raise WeightsError(
                f"{self.name} failed on pictures of shape {tuple(inputs[0].shape)}: "
                f"{str(error)[:500]}"
            ) from error

    def _sides(self, sides: Sides | None, count: int) -> Tensor:
        given = np.full(count, NO_SIDE, dtype=np.int64) if sides is None else sides
        if len(given) != count or given.max(initial=0) >= self._n_sides or (given < NO_SIDE).any():
            raise DataError(
                f"{self.name} knows {self._n_sides} {self.side} numbers (from 0) but was given "
                f"{sorted(set(given.tolist()))[-3:]} for {count} pictures; use a checkpoint of "
                "this dataset's cameras, or set features.options.camera_embedding to none"
            )
        return torch.from_numpy(np.asarray(given, dtype=np.int64)).to(self._device)
