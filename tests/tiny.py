"""The smallest generator: random weights, 16x16 px pictures, 8x8 latents."""

from __future__ import annotations

import torch

from pose2id.generation.config import (
    GuiderConfig,
    IdentityConfig,
    IpgConfig,
    SkeletonConfig,
    UNetConfig,
    VaeConfig,
)
from pose2id.generation.model import IpgModel

TINY_CONFIG = IpgConfig(
    height_px=16,
    width_px=16,
    output_height_px=16,
    output_width_px=16,
    identity_tokens=3,
    unet=UNetConfig(
        channels=(8, 16),
        attention=(True, True),
        layers_per_block=1,
        heads=2,
        norm_groups=4,
        cross_attention_dim=12,
    ),
    vae=VaeConfig(channels=(8, 8), layers_per_block=1, norm_groups=4, scaling_factor=0.5),
    identity=IdentityConfig(
        height_px=16, width_px=16, patch_px=4, stride_px=4, embed_dim=8, depth=2, heads=2
    ),
    guider=GuiderConfig(channels=(4, 8), strides=(2,)),
    skeleton=SkeletonConfig(height_px=16, width_px=16),
)


def make_tiny_model() -> IpgModel:
    """The same weights every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = IpgModel(TINY_CONFIG)
        # A fresh guider is silent, which would hide the poses.
        torch.nn.init.normal_(model.guider.conv_out.weight, std=0.3)
    return model.eval()
