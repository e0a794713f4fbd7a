"""The pose guider: a drawn skeleton becomes an offset of the denoiser's first feature map."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from pose2id.generation.config import GuiderConfig


class PoseGuider(nn.Module):
    """Skeleton picture -> pose embedding.

    Parameter names are those of the published `pose_guider.pth`. The last convolution starts at
    zero: an untrained guider changes nothing.

    Args:
        config: Widths and strides.
        out_channels: Width of the denoiser's finest level.
    """

    def __init__(self, config: GuiderConfig, out_channels: int) -> None:
        super().__init__()
        widths = config.channels
        self.conv_in = nn.Conv2d(3, widths[0], kernel_size=3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Conv2d(before, after, kernel_size=3, padding=1, stride=stride)
            for (before, after), stride in zip(pairwise(widths), config.strides, strict=True)
        )
        self.conv_out = nn.Conv2d(widths[-1], out_channels, kernel_size=3, padding=1)
        nn.init.zeros_(self.conv_out.weight)
        if self.conv_out.bias is not None:
            nn.init.zeros_(self.conv_out.bias)

    def forward(self, skeletons: Tensor) -> Tensor:
        """Embeds skeletons.

        Args:
            skeletons: `(B, 3, height_px, width_px)` in [0, 1], in the channel order that the
                weights were trained with.

        Returns:
            `(B, out_channels, latent height, latent width)`.
        """
        x = F.silu(self.conv_in(skeletons))
        for block in self.blocks:
            x = F.silu(block(x))
        out: Tensor = self.conv_out(x)
        return out
