"""EfficientNet-Lite0 as published, and the same network for pictures of one size.

Source: Tan & Le, EfficientNet, ICML 2019, in its Lite form: no squeeze-and-excitation, ReLU6, stem
and head of fixed width.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

DIM: Final = 1280
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

    def folded(self, height: int, width: int) -> tuple[nn.Conv2d, int, int]:
        """The same as one convolution, for inputs of one size.

        SAME pads by one more at the end where the sum is odd; a kernel with zeros in front makes
        that an even padding, so that no padded copy is needed.

        Returns:
            The convolution, height and width of what it gives.
        """
        fused = fuse_conv_bn_eval(self.conv, self.norm)
        (top, bottom), (left, right) = self._padding(height), self._padding(width)
        kernel = F.pad(fused.weight, (right - left, 0, bottom - top, 0))
        conv = nn.Conv2d(
            fused.in_channels,
            fused.out_channels,
            (kernel.shape[2], kernel.shape[3]),
            self._stride,
            (bottom, right),
            groups=fused.groups,
            device="meta",
        )
        conv.weight = nn.Parameter(kernel.contiguous(memory_format=torch.channels_last))
        conv.bias = fused.bias
        return conv, self._n_out(height), self._n_out(width)

    def _padding(self, size: int) -> tuple[int, int]:
        total = max(0, (self._n_out(size) - 1) * self._stride + self._kernel - size)
        return total // 2, total - total // 2

    def _n_out(self, size: int) -> int:
        return -(-size // self._stride)


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

    def folded(self, height: int, width: int) -> tuple[nn.Module, int, int]:
        """The same for inputs of one size; with height and width of what it gives."""
        expand = None
        if self.expand is not None:
            expand, height, width = self.expand.folded(height, width)
        depthwise, height, width = self.depthwise.folded(height, width)
        project, height, width = self.project.folded(height, width)
        return _FoldedBlock(expand, depthwise, project, self._shortcut), height, width


class EfficientNetLite0(nn.Module):
    """Maps `(B, 3, H, W) float32` to `(B, 1280) float32`, the average of the last feature map.

    The network as published, layer by layer: what `FoldedLite0` is held against.
    """

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


class FoldedLite0(nn.Module):
    """The same network for pictures of one size, nearly twice as fast on a CPU (docs/measured.md).

    Batch normalization and SAME padding are inside the convolutions, and what follows a
    convolution is done in place. Features differ from the published network's by about 1e-5 of
    their largest number.

    Args:
        network: The published network, in evaluation mode.
        height_px: Height of the pictures.
        width_px: Width of the pictures.
    """

    def __init__(self, network: EfficientNetLite0, height_px: int, width_px: int) -> None:
        super().__init__()
        self.stem, height, width = network.stem.folded(height_px, width_px)
        blocks: list[nn.Module] = []
        for block in network.blocks:
            assert isinstance(block, _Block)
            folded, height, width = block.folded(height, width)
            blocks.append(folded)
        self.blocks = nn.Sequential(*blocks)
        self.head, _, _ = network.head.folded(height, width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(B, 3, height_px, width_px)` normalized pictures to `(B, 1280)` features."""
        x = self.blocks(F.relu6(self.stem(x), inplace=True))
        return F.relu6(self.head(x), inplace=True).mean(dim=(2, 3))


class _FoldedBlock(nn.Module):
    def __init__(
        self, expand: nn.Conv2d | None, depthwise: nn.Conv2d, project: nn.Conv2d, shortcut: bool
    ) -> None:
        super().__init__()
        self.expand, self.depthwise, self.project = expand, depthwise, project
        self._shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        hidden = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        projected: Tensor = self.project(F.relu6(self.depthwise(hidden), inplace=True))
        return projected.add_(x) if self._shortcut else projected
