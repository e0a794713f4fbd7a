"""Linear layers of the networks on a CPU in float32, as convolutions of one pixel.

PyTorch hands float32 linear layers to MKL and convolutions to oneDNN, which is about twice as fast
on AMD processors. Rows of tokens `(N, L, C)` are already what oneDNN calls channels-last, so
nothing is copied.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ConvolvedLinear(nn.Linear):
    """A linear layer that computes rows of tokens as a convolution."""

    def forward(self, x: Tensor) -> Tensor:
        """`(N, L, in_features)` -> `(N, L, out_features)`; other shapes as any linear layer."""
        if x.dim() != 3:
            return super().forward(x)
        pixels = x.unsqueeze(1).permute(0, 3, 1, 2)  # (N, C, 1, L), channels last
        out = F.conv2d(pixels, self.weight[:, :, None, None], self.bias)
        return out.permute(0, 2, 3, 1).squeeze(1)


def convolve_linears(network: nn.Module) -> None:
    """Replaces the linear layers of a network; they keep their weights and names.

    Args:
        network: Changed in place.
    """
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if type(layer) is nn.Linear:
                setattr(parent, name, _convolved(layer))


def _convolved(layer: nn.Linear) -> ConvolvedLinear:
    same = ConvolvedLinear(
        layer.in_features, layer.out_features, layer.bias is not None, device="meta"
    )
    same.weight, same.bias = layer.weight, layer.bias
    return same.train(layer.training)
