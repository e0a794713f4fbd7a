"""The UNet of Stable Diffusion with two more inputs: a pose embedding and a reference."""

from __future__ import annotations

from typing import Any

from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from pose2id.generation.config import IpgConfig
from pose2id.generation.reference import ReferenceRead, make_reader, make_writer


class IpgUNet(UNet2DConditionModel):  # type: ignore[misc]
    """diffusers' UNet, parameter for parameter; only the forward pass differs."""

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        tokens: Tensor,
        reference: ReferenceRead | dict[str, Tensor] | None = None,
        pose_embedding: Tensor | None = None,
    ) -> Tensor:
        """Runs the network.

        Args:
            sample: `(N, latent channels, h, w)` latents.
            timestep: `()` or `(N,)`.
            tokens: `(N, T, cross_attention_dim)` identity tokens.
            reference: What the self-attentions read (denoiser) or write (reference UNet).
            pose_embedding: `(N, channels[0], h, w)`, added before the first skip is stored.

        Returns:
            `(N, latent channels, h, w)`; for a reference UNet, which has no head, the last
            feature map `(N, channels[0], h, w)`.
        """
        emb = self.time_embedding(self.get_time_embed(sample=sample, timestep=timestep))
        attends: dict[str, Any] = {
            "encoder_hidden_states": tokens,
            "cross_attention_kwargs": {"reference": reference},
        }
        x = self.conv_in(sample)
        if pose_embedding is not None:
            x = x + pose_embedding

        skips = [x]
        for block in self.down_blocks:
            x, new_skips = block(x, temb=emb, **_accepted(block, attends))
            skips.extend(new_skips)
        x = self.mid_block(x, temb=emb, **_accepted(self.mid_block, attends))
        for block in self.up_blocks:
            taken = len(block.resnets)
            block_skips = tuple(skips[-taken:])
            del skips[-taken:]
            x = block(x, temb=emb, res_hidden_states_tuple=block_skips, **_accepted(block, attends))

        if self.conv_norm_out is not None:
            x = self.conv_act(self.conv_norm_out(x))
        out: Tensor = self.conv_out(x)
        return out


def _accepted(block: nn.Module, attends: dict[str, Any]) -> dict[str, Any]:
    return attends if getattr(block, "has_cross_attention", False) else {}


def build_denoiser(config: IpgConfig) -> IpgUNet:
    """A denoiser with fresh weights."""
    unet = IpgUNet(**config.unet.diffusers_kwargs(config.vae.latent_channels))
    make_reader(unet)
    return unet


def build_reference_unet(config: IpgConfig) -> IpgUNet:
    """A reference UNet with fresh weights; without a head, since only its banks are used."""
    unet = IpgUNet(**config.unet.diffusers_kwargs(config.vae.latent_channels))
    unet.conv_norm_out = None
    unet.conv_out = nn.Identity()
    make_writer(unet)
    return unet
