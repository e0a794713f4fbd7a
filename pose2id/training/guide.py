"""The network that judges, while IPG is trained, whether a drawing shows the right person."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pose2id.errors import ParamsError
from pose2id.extractors.base import Extractor, InputSpec
from pose2id.generation.config import IdentityConfig
from pose2id.generation.identity_net import IdentityNet
from pose2id.generation.state_dicts import digest_of


class Guide(Protocol):
    """A frozen network through which gradients pass.

    Attributes:
        fingerprint: Hex sha256 of its weights and its input.
    """

    fingerprint: str

    def __call__(self, images: Tensor) -> Tensor:
        """Features `(B, D)` of pictures `(B, 3, H, W)` RGB in [-1, 1] of any size."""
        ...


def at_size(images: Tensor, height_px: int, width_px: int) -> Tensor:
    """Brings pictures to a network's size, differentiably.

    Args:
        images: `(B, 3, H, W)` in [-1, 1].
        height_px: Wanted height.
        width_px: Wanted width.

    Returns:
        `(B, 3, height_px, width_px)` in [-1, 1]; the same tensor where the size fits.
    """
    if images.shape[2:] == (height_px, width_px):
        return images
    size = (height_px, width_px)
    return F.interpolate(images, size, mode="bicubic", antialias=True).clamp(-1.0, 1.0)


class IdentityGuide:
    """The generator's own identity network as the guide."""

    def __init__(self, network: IdentityNet) -> None:
        self._network, self._config = network, network.config
        self.fingerprint = digest_of(dict(network.state_dict()))

    def __call__(self, images: Tensor) -> Tensor:
        """Features of pictures; see `Guide`."""
        config: IdentityConfig = self._config
        found: Tensor = self._network(at_size(images, config.height_px, config.width_px))
        return found.float()


class ExtractorGuide:
    """A user's own feature network as the guide: the drawings then show what it looks at.

    Args:
        extractor: Must be a torch network: exported ones give no gradients.

    Raises:
        ParamsError: The extractor gives no gradients.
    """

    def __init__(self, extractor: Extractor, device: torch.device) -> None:
        network = getattr(extractor, "network", None)
        if not isinstance(network, nn.Module):
            raise ParamsError(
                f"the extractor {extractor.name!r} can't guide the drawings: it is no torch "
                "network, so it gives no gradients. Give the network as a torch checkpoint, or "
                "use `guide: identity`."
            )
        self._network = network.to(device).eval().requires_grad_(False)
        self._spec = extractor.input_spec
        self.fingerprint = extractor.fingerprint

    def __call__(self, images: Tensor) -> Tensor:
        """Features of pictures; see `Guide`."""
        found: Tensor = self._network(as_network_input(images, self._spec))
        return found.float()


def as_network_input(images: Tensor, spec: InputSpec) -> Tensor:
    """Pictures as an extractor's network reads them, differentiably.

    Args:
        images: `(B, 3, H, W)` RGB in [-1, 1].
        spec: What the network wants.

    Returns:
        `(B, 3, height_px, width_px)`.

    >>> spec = InputSpec(2, 1, channel_order="bgr", max_value=255.0, mean=(5.0, 0.0, 0.0))
    >>> as_network_input(torch.tensor([1.0, -1.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 2, 1), spec)[
    ...     0, :, 0, 0
    ... ].tolist()
    [250.0, 0.0, 255.0]
    """
    x = at_size(images, spec.height_px, spec.width_px)
    x = (x + 1.0) * (0.5 * spec.max_value)
    if spec.channel_order == "bgr":
        x = x.flip(1)
    mean, std = (x.new_tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    return (x - mean) / std
