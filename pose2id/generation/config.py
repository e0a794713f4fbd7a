"""The whole description of an IPG model: enough to build it, nothing about where it came from."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pose2id.choices import ChannelOrder
from pose2id.errors import ParamsError

# Far beyond any published model, and far below what would exhaust a machine.
Width = Annotated[int, Field(ge=1, le=8192)]
Depth = Annotated[int, Field(ge=1, le=128)]
Side = Annotated[int, Field(ge=1, le=8192)]
Stride = Annotated[int, Field(ge=1, le=16)]
Widths = Annotated[tuple[Width, ...], Field(min_length=1, max_length=16)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class UNetConfig(_Section):
    """One UNet; the reference UNet and the denoiser share it.

    Attributes:
        channels: Width of each level, finest first.
        attention: Whether each level attends (to itself, the reference and the identity tokens).
        layers_per_block: Residual blocks per level on the way down (one more on the way up).
        heads: Attention heads, the same at every level.
        norm_groups: Groups of each GroupNorm; must divide every width.
        cross_attention_dim: Width of one identity token.
    """

    channels: Widths = (320, 640, 1280, 1280)
    attention: Annotated[tuple[bool, ...], Field(max_length=16)] = (True, True, True, False)
    layers_per_block: Depth = 2
    heads: Width = 8
    norm_groups: Width = 32
    cross_attention_dim: Width = 768

    @model_validator(mode="after")
    def _check(self) -> UNetConfig:
        if len(self.channels) != len(self.attention):
            raise ValueError("`channels` and `attention` must name the same number of levels")
        if any(width % self.norm_groups or width % self.heads for width in self.channels):
            raise ValueError(
                f"every width of {self.channels} must be a multiple of norm_groups "
                f"({self.norm_groups}) and of heads ({self.heads})"
            )
        return self

    def diffusers_kwargs(self, latent_channels: int) -> dict[str, Any]:
        """Arguments of diffusers' `UNet2DConditionModel`."""
        return {
            "in_channels": latent_channels,
            "out_channels": latent_channels,
            "block_out_channels": self.channels,
            "down_block_types": tuple(
                "CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in self.attention
            ),
            "up_block_types": tuple(
                "CrossAttnUpBlock2D" if attends else "UpBlock2D"
                for attends in reversed(self.attention)
            ),
            "layers_per_block": self.layers_per_block,
            # diffusers keeps an old naming mistake: this argument is the number of heads.
            "attention_head_dim": self.heads,
            "norm_num_groups": self.norm_groups,
            "cross_attention_dim": self.cross_attention_dim,
        }


class VaeConfig(_Section):
    """The autoencoder between pictures and latents; each level but the last halves the sides.

    Attributes:
        channels: Width of each level, finest first.
        layers_per_block: Residual blocks per level of the encoder (one more in the decoder).
        norm_groups: Groups of each GroupNorm; must divide every width.
        latent_channels: Channels of a latent.
        scaling_factor: Latents are multiplied by it, so that their spread is about one.
    """

    channels: Widths = (128, 256, 512, 512)
    layers_per_block: Depth = 2
    norm_groups: Width = 32
    latent_channels: Width = 4
    scaling_factor: float = Field(default=0.18215, gt=0, le=1e6)

    @property
    def factor(self) -> int:
        """Pixels per latent cell along one side."""
        return 1 << (len(self.channels) - 1)

    def diffusers_kwargs(self) -> dict[str, Any]:
        """Arguments of diffusers' `AutoencoderKL`."""
        levels = len(self.channels)
        return {
            "in_channels": 3,
            "out_channels": 3,
            "block_out_channels": self.channels,
            "down_block_types": ("DownEncoderBlock2D",) * levels,
            "up_block_types": ("UpDecoderBlock2D",) * levels,
            "layers_per_block": self.layers_per_block,
            "norm_num_groups": self.norm_groups,
            "latent_channels": self.latent_channels,
            "scaling_factor": self.scaling_factor,
        }


class IdentityConfig(_Section):
    """The identity network: a ViT with a global and a local branch (TransReID's interface).

    Attributes:
        height_px: Height of its input picture.
        width_px: Width of its input picture.
        patch_px: Side of a patch.
        stride_px: Step between patches; smaller than `patch_px` means overlap.
        embed_dim: Token width.
        depth: Transformer blocks on the path of a token, the branches' own block included.
        heads: Attention heads.
        mlp_ratio: Hidden width of a block's MLP, in token widths.
    """

    height_px: Side = 256
    width_px: Side = 128
    patch_px: Side = 16
    stride_px: Side = 12
    embed_dim: Width = 768
    depth: Depth = 12
    heads: Width = 12
    mlp_ratio: Width = 4

    @model_validator(mode="after")
    def _check(self) -> IdentityConfig:
        if self.embed_dim % self.heads:
            raise ValueError(
                f"embed_dim ({self.embed_dim}) must be a multiple of heads ({self.heads})"
            )
        if self.n_patches < 8:
            raise ValueError(f"{self.n_patches} patches are too few for the local branch (8)")
        return self

    @property
    def n_patches(self) -> int:
        """Patch tokens of one picture."""
        rows = (self.height_px - self.patch_px) // self.stride_px + 1
        columns = (self.width_px - self.patch_px) // self.stride_px + 1
        return rows * columns

    @property
    def feature_dim(self) -> int:
        """Length of a feature: the global token and four local ones."""
        return 5 * self.embed_dim


class GuiderConfig(_Section):
    """The pose guider: convolutions from a drawn skeleton to the denoiser's first feature map.

    Attributes:
        channels: Width after the first convolution, then after each block.
        strides: Step of each block; their product must be the VAE's factor.
    """

    channels: Widths = (16, 16, 32, 32, 64, 64, 128)
    strides: Annotated[tuple[Stride, ...], Field(max_length=16)] = (1, 2, 1, 2, 1, 2)

    @model_validator(mode="after")
    def _check(self) -> GuiderConfig:
        if len(self.channels) != len(self.strides) + 1:
            raise ValueError("`channels` must be one longer than `strides`")
        return self


class SkeletonConfig(_Section):
    """How a pose is shown to the guider.

    Attributes:
        height_px: Height at which the skeleton is drawn, before it is resized to the picture.
        width_px: Width at which the skeleton is drawn.
        channel_order: Channel order that the weights were trained with. Drawings are RGB
            everywhere else.
    """

    height_px: Side = 128
    width_px: Side = 64
    channel_order: ChannelOrder = "rgb"


class IpgConfig(_Section):
    """An IPG model.

    Attributes:
        height_px: Height of the pictures that the autoencoder sees.
        width_px: Width of the pictures that the autoencoder sees.
        output_height_px: Height at which generated pictures are handed out.
        output_width_px: Width at which generated pictures are handed out.
        identity_tokens: Tokens that the identity feature is unfolded into.
        unet: Both UNets.
        vae: The autoencoder.
        identity: The identity network.
        guider: The pose guider.
        skeleton: The drawing of a pose.
    """

    height_px: Side = 512
    width_px: Side = 256
    output_height_px: Side = 256
    output_width_px: Side = 128
    identity_tokens: Width = 20
    unet: UNetConfig = UNetConfig()
    vae: VaeConfig = VaeConfig()
    identity: IdentityConfig = IdentityConfig()
    guider: GuiderConfig = GuiderConfig()
    skeleton: SkeletonConfig = SkeletonConfig()

    @model_validator(mode="after")
    def _check(self) -> IpgConfig:
        step = self.vae.factor * 2 ** (len(self.unet.channels) - 1)
        if self.height_px % step or self.width_px % step:
            raise ValueError(
                f"a picture of {self.height_px}x{self.width_px} px must be a multiple of {step} "
                "(the VAE's factor times the UNet's) along both sides"
            )
        if math.prod(self.guider.strides) != self.vae.factor:
            raise ValueError(
                f"the guider's strides {self.guider.strides} must multiply to the VAE's factor "
                f"({self.vae.factor})"
            )
        return self

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one latent."""
        factor = self.vae.factor
        return self.vae.latent_channels, self.height_px // factor, self.width_px // factor

    @classmethod
    def from_json(cls, text: str) -> IpgConfig:
        """Reads a configuration written by `model_dump_json`.

        Raises:
            ParamsError: A key is unknown, missing or outside its allowed values.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ParamsError(
                f"the model's configuration is not valid: {error}. Correct the named keys, or save "
                "the model again."
            ) from error


def official_config() -> IpgConfig:
    """The model of the paper, as its published weights need it."""
    return IpgConfig(skeleton=SkeletonConfig(channel_order="bgr"))


def small_config() -> IpgConfig:
    """The same architecture small enough for a CPU: 128x64 pictures, 16x8 latents."""
    return IpgConfig(
        height_px=128,
        width_px=64,
        output_height_px=128,
        output_width_px=64,
        identity_tokens=4,
        unet=UNetConfig(
            channels=(48, 80),
            attention=(True, True),
            layers_per_block=1,
            heads=2,
            norm_groups=8,
            cross_attention_dim=80,
        ),
        vae=VaeConfig(
            channels=(16, 32, 48, 64),
            layers_per_block=1,
            norm_groups=8,
            latent_channels=4,
            scaling_factor=1.0,
        ),
        identity=IdentityConfig(
            height_px=128, width_px=64, embed_dim=96, depth=4, heads=3, mlp_ratio=4
        ),
        guider=GuiderConfig(channels=(8, 16, 32, 64), strides=(2, 2, 2)),
    )
