"""The IPG model: its six networks and what they compute for one another."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from pose2id.generation.config import IpgConfig
from pose2id.generation.identity_net import IdentityNet
from pose2id.generation.ifr import IdentityFeatureRefiner
from pose2id.generation.pose_guider import PoseGuider
from pose2id.generation.reference import ReferenceBanks, ReferenceRead, project_banks
from pose2id.generation.unet import build_denoiser, build_reference_unet

PARTS = ("vae", "identity", "refiner", "guider", "reference_unet", "denoising_unet")


class IpgModel(nn.Module):
    """Identity-guided pedestrian generation.

    R counts reference pictures, N counts pictures being drawn; `reference_index (N,)` says which
    reference each of them shows, so that a reference is worked on once however many pictures
    share it.

    Args:
        config: The sizes of all parts.

    Attributes:
        vae: diffusers' `AutoencoderKL`.
        identity: Picture -> identity feature.
        refiner: Identity feature -> identity tokens.
        guider: Skeleton -> pose embedding.
        reference_unet: Reference latent -> banks.
        denoising_unet: Noisy latent -> v prediction.
    """

    def __init__(self, config: IpgConfig) -> None:
        super().__init__()
        self.config = config
        self.vae = AutoencoderKL(**config.vae.diffusers_kwargs())
        self.identity = IdentityNet(config.identity)
        self.refiner = IdentityFeatureRefiner(
            config.identity.feature_dim, config.identity_tokens, config.unet.cross_attention_dim
        )
        self.guider = PoseGuider(config.guider, config.unet.channels[0])
        self.reference_unet = build_reference_unet(config)
        self.denoising_unet = build_denoiser(config)

    def encode(self, images: Tensor) -> Tensor:
        """Pictures -> scaled latents, without sampling.

        Args:
            images: `(B, 3, height_px, width_px)` RGB in [-1, 1].

        Returns:
            `(B, *latent_shape)`.
        """
        mean: Tensor = self.vae.encode(images).latent_dist.mean
        return mean * self.config.vae.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents -> pictures.

        Args:
            latents: `(B, *latent_shape)`.

        Returns:
            `(B, 3, height_px, width_px)` RGB, about [-1, 1], not clamped.
        """
        images: Tensor = self.vae.decode(latents / self.config.vae.scaling_factor).sample
        return images

    def identity_features(self, images: Tensor) -> Tensor:
        """Pictures -> identity features.

        Args:
            images: `(B, 3, h, w)` RGB at the identity network's size, (x - 0.5) / 0.5. The
                unconditional input is zeros.

        Returns:
            `(B, feature_dim)`.
        """
        features: Tensor = self.identity(images)
        return features

    def identity_tokens(self, features: Tensor) -> Tensor:
        """Identity features `(B, feature_dim)` -> tokens `(B, T, cross_attention_dim)`."""
        tokens: Tensor = self.refiner(features)
        return tokens

    def pose_embedding(self, skeletons: Tensor) -> Tensor:
        """Skeletons `(B, 3, height_px, width_px)` in [0, 1] -> `(B, channels[0], h, w)`.

        The channel order is that of `config.skeleton`.
        """
        embedding: Tensor = self.guider(skeletons)
        return embedding

    def write_banks(self, latents: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        """One pass of the reference UNet.

        Args:
            latents: `(R, *latent_shape)` scaled latents of the references.
            tokens: `(R, T, cross_attention_dim)` their identity tokens.

        Returns:
            Block name -> `(R, L, C)`, the inputs of its self-attentions.
        """
        banks: dict[str, Tensor] = {}
        timestep = torch.zeros((), dtype=torch.int64, device=latents.device)
        self.reference_unet(latents, timestep, tokens, reference=banks)
        return banks

    def reference_banks(self, latents: Tensor, tokens: Tensor) -> ReferenceBanks:
        """Everything the denoiser needs from R references: call once, read at every step.

        Args:
            latents: `(R, *latent_shape)` scaled latents of the references.
            tokens: `(R, T, cross_attention_dim)` their identity tokens.

        Returns:
            The denoiser's keys and values for them.
        """
        return project_banks(self.denoising_unet, self.write_banks(latents, tokens))

    def denoise(
        self,
        noisy: Tensor,
        timestep: Tensor,
        tokens: Tensor,
        banks: ReferenceBanks | None,
        pose_embedding: Tensor,
        reference_index: Tensor | None = None,
        drop: Tensor | None = None,
    ) -> Tensor:
        """One pass of the denoiser.

        Args:
            noisy: `(N, *latent_shape)`.
            timestep: `()` or `(N,) int64` in 0..999.
            tokens: `(N, T, cross_attention_dim)`; unconditional tokens for dropped rows.
            banks: The references; None for a wholly unconditional pass.
            pose_embedding: `(N, channels[0], h, w)`.
            reference_index: `(N,) int64` into the references; None means row n shows reference n.
            drop: `(N,) bool`, rows that do not look at their reference (classifier-free
                dropout in training); None means that all look.

        Returns:
            `(N, *latent_shape)`, the v prediction.
        """
        if banks is None:
            return self._denoise(noisy, timestep, tokens, None, pose_embedding)
        if reference_index is None:
            reference_index = torch.arange(len(noisy), device=noisy.device)
        if drop is None:
            read = ReferenceRead(banks, reference_index)
            return self._denoise(noisy, timestep, tokens, read, pose_embedding)
        # Dropped rows first: then each attention is two plain calls instead of a masked one.
        order = torch.argsort(drop.to(torch.int8), descending=True, stable=True)
        n_plain = int(drop.sum())
        read = ReferenceRead(banks, reference_index[order][n_plain:], n_plain)
        steps = timestep.expand(len(noisy))[order]
        v = self._denoise(noisy[order], steps, tokens[order], read, pose_embedding[order])
        return v[torch.argsort(order)]

    def _denoise(
        self,
        noisy: Tensor,
        timestep: Tensor,
        tokens: Tensor,
        read: ReferenceRead | None,
        pose_embedding: Tensor,
    ) -> Tensor:
        v: Tensor = self.denoising_unet(
            noisy, timestep, tokens, reference=read, pose_embedding=pose_embedding
        )
        return v
