"""The quickened autoencoder: the same pictures as diffusers' own."""

from __future__ import annotations

import copy

import pytest
import torch

from pose2id.generation.cpu_vae import UpsamplingConv, quicken_vae


@torch.inference_mode()
def test_pictures_and_latents_stay_the_same(model):
    quick = copy.deepcopy(model)
    quicken_vae(quick.vae)
    assert any(isinstance(layer, UpsamplingConv) for layer in quick.vae.modules())
    torch.manual_seed(0)
    latents = torch.randn(2, *model.config.latent_shape)
    pictures = torch.randn(2, 3, model.config.height_px, model.config.width_px)
    torch.testing.assert_close(quick.decode(latents), model.decode(latents), rtol=0, atol=2e-5)
    torch.testing.assert_close(quick.encode(pictures), model.encode(pictures), rtol=0, atol=2e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_upsampling_inside_the_convolution_is_upsampling_before_it(bias: bool):
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 5, 3, padding=1, bias=bias)
    x = torch.randn(2, 3, 7, 4)
    expected = conv(torch.nn.functional.interpolate(x, scale_factor=2.0, mode="nearest"))
    torch.testing.assert_close(UpsamplingConv(conv)(x), expected, rtol=0, atol=1e-5)
