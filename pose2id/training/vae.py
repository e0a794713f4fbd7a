"""Training of the autoencoder: reconstruct sharp pictures through a small, tame latent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn

from pose2id.generation.config import VaeConfig
from pose2id.generation.pictures import to_uint8
from pose2id.training.pool import Pool
from pose2id.training.randomness import StepRandom


@dataclass(frozen=True, slots=True)
class VaeLoss:
    """Weights of the reconstruction loss (mean absolute error counts 1).

    Attributes:
        gradient: Of the error of differences between neighbouring pixels: keeps edges sharp.
        kl: Of the Kullback-Leibler divergence per latent number: keeps the latents near a unit
            normal, so that small errors of the denoiser stay small in the picture.
    """

    gradient: float = 0.5
    kl: float = 2e-4


def to_signed(pictures: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Pictures as the networks read them.

    Args:
        pictures: `(B, H, W, 3) uint8`.
        device: Where the tensor goes.

    Returns:
        `(B, 3, H, W) float32` in [-1, 1].
    """
    tensor = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2)  # (B, 3, H, W)
    return (tensor.float() / 127.5 - 1.0).contiguous()


def tile(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lays pictures out in a grid.

    Args:
        pictures: `(rows, columns, H, W, 3) uint8`.

    Returns:
        `(rows * H, columns * W, 3) uint8`.
    """
    rows, columns, height, width, _ = pictures.shape
    return pictures.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)


def psnr_db(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio, averaged over pictures.

    Args:
        a: `(B, H, W, 3) uint8`.
        b: Same shape.

    Returns:
        Decibels.

    >>> a = np.zeros((1, 2, 2, 3), np.uint8)
    >>> round(psnr_db(a, a + 1), 2)
    48.13
    """
    error = (a.astype(np.float64) - b.astype(np.float64)) ** 2
    per_picture = error.mean(axis=(1, 2, 3))  # (B,)
    return float(np.mean(10 * np.log10(255.0**2 / np.maximum(per_picture, 1e-10))))


class VaeJob:
    """Trains the autoencoder on all pictures of a pool.

    Attributes:
        name: `vae`.
        settings: Sizes, loss weights, batch and data.
        network: The autoencoder.
    """

    name = "vae"

    def __init__(
        self,
        config: VaeConfig,
        loss: VaeLoss,
        pool: Pool,
        batch: int,
        network: AutoencoderKL,
    ) -> None:
        self.settings = f"{config}|{loss}|{batch}|{pool.name}"
        self.network = network
        self._loss, self._pool, self._batch = loss, pool, batch

    def loss(self, random: StepRandom) -> Tensor:
        """Loss of a batch of random pictures."""
        device = self.network.device
        rows = random.numpy.integers(0, len(self._pool), self._batch)
        images = to_signed(self._pool.pictures(rows), device)
        posterior = self.network.encode(images).latent_dist
        noise = random.normal(*posterior.mean.shape).to(device)
        drawn = self.network.decode(posterior.mean + posterior.std * noise).sample
        kl = 0.5 * (posterior.mean**2 + posterior.var - 1.0 - posterior.logvar).float().mean()
        total: Tensor = drawing_error(drawn, images, self._loss) + self._loss.kl * kl
        return total

    def sample_grid(self) -> NDArray[np.uint8]:
        """Pictures of the pool above their reconstructions."""
        pictures = self._pool.pictures(np.linspace(0, len(self._pool) - 1, 12).astype(np.int64))
        return tile(np.stack([pictures, reconstruct(self.network, pictures)]))


class DecoderJob:
    """Trains the decoder alone, for the pictures that the generator draws: its targets.

    The latents stay what they are, so this may run before, beside or after the training of IPG.

    Attributes:
        name: `decoder`.
        settings: Loss weights, batch and data.
        network: The decoder's half of the autoencoder.
    """

    name = "decoder"

    def __init__(
        self, vae: AutoencoderKL, loss: VaeLoss, pool: Pool, batch: int, noise: float
    ) -> None:
        """Prepares the training.

        Args:
            vae: A trained autoencoder.
            loss: Loss weights; `kl` has no effect here.
            pool: Pictures.
            batch: Pictures per step.
            noise: Spread of the noise on the latents, which stands for the denoiser's errors.
        """
        self.settings = f"{loss}|{batch}|{noise}|{pool.name}"
        self.network = nn.ModuleList([vae.post_quant_conv, vae.decoder])
        self._vae, self._loss, self._pool, self._batch = vae, loss, pool, batch
        self._noise = noise
        self._targets = np.flatnonzero(pool.table.is_target)

    def loss(self, random: StepRandom) -> Tensor:
        """Loss of a batch of random targets."""
        rows = random.numpy.choice(self._targets, self._batch)
        images = to_signed(self._pool.pictures(rows), self._vae.device)
        with torch.no_grad():
            latents = self._vae.encode(images).latent_dist.mean
        noise = random.normal(*latents.shape).to(latents.device)
        drawn = self._vae.decode(latents + self._noise * noise).sample
        return drawing_error(drawn, images, self._loss)

    def sample_grid(self) -> NDArray[np.uint8]:
        """Targets above their reconstructions."""
        rows = self._targets[np.linspace(0, len(self._targets) - 1, 12).astype(np.int64)]
        pictures = self._pool.pictures(rows)
        return tile(np.stack([pictures, reconstruct(self._vae, pictures)]))


def reconstruct(vae: AutoencoderKL, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Encodes and decodes pictures without sampling.

    Args:
        vae: An autoencoder.
        pictures: `(B, H, W, 3) uint8`.

    Returns:
        Same shape.
    """
    with torch.no_grad():
        images = to_signed(pictures, vae.device)
        drawn = vae.decode(vae.encode(images).latent_dist.mean).sample
    return to_uint8(drawn.float().cpu(), *pictures.shape[1:3])


def drawing_error(drawn: Tensor, images: Tensor, loss: VaeLoss) -> Tensor:
    """Mean absolute error of pixels and of differences between neighbours.

    Args:
        drawn: `(B, 3, H, W)`.
        images: `(B, 3, H, W)`.
        loss: Weight of the differences.

    Returns:
        Scalar.
    """
    error = drawn.float() - images
    edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    return error.abs().mean() + loss.gradient * edges


def latent_spread(vae: AutoencoderKL, pool: Pool, pictures: int = 512) -> float:
    """Root mean square of the latents, whose inverse is the scaling factor.

    Args:
        vae: A trained autoencoder.
        pool: Pictures.
        pictures: How many, evenly spread over the pool.

    Returns:
        The spread over all channels and places.
    """
    rows = np.linspace(0, len(pool) - 1, pictures).astype(np.int64)
    with torch.no_grad():
        means = [
            vae.encode(to_signed(pool.pictures(part), vae.device)).latent_dist.mean
            for part in np.array_split(rows, -(-pictures // 64))
        ]
    return float(torch.cat(means).pow(2).mean().sqrt())
