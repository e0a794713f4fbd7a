"""Fresh weights for the autoencoder: it starts as averaging 8x8 pixels, and learns the rest.

From the usual random start a small autoencoder learns brightness first, and colours only after a
long plateau. Here three channels carry red, green and blue through both halves from the first
step, next to their negatives: silu(x) - silu(-x) = x, so they pass nonlinearities unchanged.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import nn

from pose2id.generation.config import VaeConfig

CARRIED = 6
"""Red, green, blue and their negatives."""
START_LOG_VARIANCE = -6.0
_OUTPUT_GAIN = 0.7  # about the spread that the last normalisation takes away


def fresh_vae(config: VaeConfig) -> AutoencoderKL:
    """An autoencoder that reproduces the colours of 8x8 blocks and hardly adds noise.

    Args:
        config: Its sizes.

    Returns:
        The autoencoder; random (torch's global generator) but for the channels that carry colours.
    """
    vae = AutoencoderKL(**config.diffusers_kwargs())
    with torch.no_grad():
        for module in vae.modules():
            if isinstance(module, ResnetBlock2D):
                nn.init.zeros_(module.conv2.weight)
                if module.conv_shortcut is not None:
                    _carry(module.conv_shortcut)
            elif isinstance(module, Downsample2D):
                _average(module.conv)
            elif isinstance(module, Upsample2D):
                _carry(module.conv)
            elif isinstance(module, Attention):
                nn.init.zeros_(module.to_out[0].weight)
        for half in (vae.encoder, vae.decoder):
            _spread(half.conv_in)
            _gather(half.conv_out)
        for convolution in (vae.quant_conv, vae.post_quant_conv):
            nn.init.dirac_(convolution.weight)
            nn.init.zeros_(convolution.bias)
        vae.quant_conv.bias[config.latent_channels :] = START_LOG_VARIANCE
    return vae


def _clear(convolution: nn.Conv2d, rows: int) -> None:
    convolution.weight[:rows] = 0.0
    if convolution.bias is not None:
        convolution.bias[:rows] = 0.0


def _carry(convolution: nn.Conv2d) -> None:
    _clear(convolution, CARRIED)
    middle = convolution.kernel_size[0] // 2
    for channel in range(CARRIED):
        convolution.weight[channel, channel, middle, middle] = 1.0


def _average(convolution: nn.Conv2d) -> None:
    """Every 2x2 pixels become their mean; diffusers pads below and to the right."""
    _clear(convolution, CARRIED)
    for channel in range(CARRIED):
        convolution.weight[channel, channel, :2, :2] = 0.25


def _spread(convolution: nn.Conv2d) -> None:
    _clear(convolution, CARRIED)
    for channel in range(3):
        convolution.weight[channel, channel, 1, 1] = 1.0
        convolution.weight[channel + 3, channel, 1, 1] = -1.0


def _gather(convolution: nn.Conv2d) -> None:
    _clear(convolution, 3)
    for channel in range(3):
        convolution.weight[channel, channel, 1, 1] = _OUTPUT_GAIN
        convolution.weight[channel, channel + 3, 1, 1] = -_OUTPUT_GAIN
