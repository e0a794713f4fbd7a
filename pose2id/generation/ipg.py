"""Identity-guided pedestrian generation behind the generator protocol."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pose2id.choices import Device, Precision, Solver
from pose2id.devices import resolve_device, resolve_dtype
from pose2id.errors import ParamsError
from pose2id.generation.call_checks import check_call, padding
from pose2id.generation.checkpoints import load_model
from pose2id.generation.cpu_linear import convolve_linears
from pose2id.generation.cpu_vae import quicken_vae
from pose2id.generation.model import IpgModel
from pose2id.generation.pictures import image_batch, skeleton_batch, to_uint8
from pose2id.generation.reference import ReferenceBanks
from pose2id.generation.sampler import Sampling, sample, start_noise

log = logging.getLogger(__name__)

DECODE_ROWS = 8
ARITHMETIC = 3  # raised whenever the same weights and parameters draw other bytes than before


@dataclass(frozen=True, slots=True)
class _Identity:
    """What R references say of their persons."""

    tokens: Tensor  # (R, T, C)
    plain_tokens: Tensor | None  # (1, T, C), of guidance's unconditional half
    banks: ReferenceBanks


@dataclass(frozen=True, slots=True)
class _Rows:
    """One row per picture to draw."""

    noise: Tensor  # (N, 4, h, w)
    reference: Tensor  # (N,), its place among the references
    pose_embedding: Tensor  # (N, C0, h, w)

    def part(self, start: int, stop: int) -> _Rows:
        """Some of the rows."""
        part = slice(start, stop)
        return _Rows(self.noise[part], self.reference[part], self.pose_embedding[part])


class IpgGenerator:
    """Re-draws the person of each reference picture in given poses.

    Args:
        model: The networks; moved to `device` and `dtype`, their layers chosen for them.
        fingerprint: Sha256 of the model's weights and configuration.
        sampling: Solver, steps and guidance.
        batch_size: References per batch; every batch is padded to exactly this many.
        device: Where to compute; `auto` takes CUDA, then Apple's MPS, then the CPU.
        dtype: Precision of the networks; the solver always works in float32.
        compiled: Whether torch.compile translates the denoiser on the first call. That takes
            about a minute for the small model, so it pays from some thousand pictures on.

    Attributes:
        name: Short name for tables and messages.
        fingerprint: Hex sha256 of weights, configuration, sampling, precision and translation.
        height_px: Height of the generated pictures.
        width_px: Width of the generated pictures.
        batch_size: References per batch.

    Example:
        >>> from pose2id.poses.standard import STANDARD_POSES
        >>> model = Path("models/ipg-small")  # in a checkout
        >>> generator = IpgGenerator.load(model, steps=1, guidance_scale=1.0, batch_size=1)
        >>> person = Image.new("RGB", (64, 128), "gray")
        >>> seeds = np.array([[3, 4]], np.uint64)
        >>> pictures = generator([person], STANDARD_POSES[:2], seeds)
        >>> pictures.shape, pictures.dtype
        ((1, 2, 128, 64, 3), dtype('uint8'))
    """

    name = "ipg"

    def __init__(
        self,
        model: IpgModel,
        fingerprint: str,
        sampling: Sampling,
        *,
        batch_size: int = 4,
        device: Device = "auto",
        dtype: Precision = "float32",
        compiled: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ParamsError(f"batch_size is {batch_size}; allowed is 1 or more.")
        self._device = resolve_device(device)
        self._dtype = resolve_dtype(dtype)
        self._model = model.to(device=self._device, dtype=self._dtype).eval().requires_grad_(False)
        self._sampling = sampling
        self.height_px = model.config.output_height_px
        self.width_px = model.config.output_width_px
        self.batch_size = batch_size
        if self._device.type == "cpu" and self._dtype == torch.float32:
            convolve_linears(self._model.reference_unet)
            convolve_linears(self._model.denoising_unet)
            quicken_vae(self._model.vae)
        if self._device.type == "cuda":  # the layout of a card's convolutions in half precision
            self._model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if compiled:
            self._compile()
        content = {
            "arithmetic": ARITHMETIC,
            "model": fingerprint,
            "sampling": asdict(sampling),
            "dtype": dtype,
            "compiled": compiled,
        }
        self.fingerprint = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        self._max_rows: int | None = None
        self._last_poses: tuple[bytes, Tensor] | None = None

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        solver: Solver = "ddim",
        steps: int = 20,
        guidance_scale: float = 3.5,
        batch_size: int = 4,
        device: Device = "auto",
        dtype: Precision = "float32",
        compiled: bool = False,
    ) -> IpgGenerator:
        """Loads a generator from a folder written by `checkpoints.save_model`.

        Raises:
            WeightsError: A file is missing, damaged or does not fit the configuration.
            ParamsError: A parameter is outside its allowed values.
        """
        sampling = Sampling(solver, steps, guidance_scale)
        model, fingerprint = load_model(
            folder, device=resolve_device(device), dtype=resolve_dtype(dtype)
        )
        return cls(
            model,
            fingerprint,
            sampling,
            batch_size=batch_size,
            device=device,
            dtype=dtype,
            compiled=compiled,
        )

    @torch.inference_mode()
    def __call__(
        self,
        references: Sequence[Image.Image],
        keypoints: NDArray[np.float32],
        noise_seeds: NDArray[np.uint64],
    ) -> NDArray[np.uint8]:
        """See `Generator`."""
        # 1. Pad to a fixed batch: a picture must not depend on how many others there are.
        check_call(references, keypoints, noise_seeds, self.batch_size)
        filled = padding(len(references), self.batch_size)
        config, n_poses = self._model.config, len(keypoints)
        padded = [references[i] for i in filled]

        # 2. Identity: feature of each reference -> tokens.
        identity_images = image_batch(padded, config.identity.height_px, config.identity.width_px)
        tokens = self._tokens(identity_images)  # (R, T, C)
        plain_tokens = None
        if self._sampling.guided:
            plain_tokens = self._tokens(torch.zeros_like(identity_images[:1]))  # (1, T, C)

        # 3. Appearance: one pass of the reference UNet for each reference.
        latents = self._model.encode(
            self._put(image_batch(padded, config.height_px, config.width_px))
        )
        banks = self._model.reference_banks(latents, tokens)

        # 4. Poses and start noise, one row per picture.
        pose_embedding = self._pose_embedding(keypoints)  # (P, C0, h, w)
        noise = start_noise(noise_seeds[filled].reshape(-1), config.latent_shape)
        reference_of_row = torch.arange(self.batch_size).repeat_interleave(n_poses)
        pose_of_row = torch.arange(n_poses).repeat(self.batch_size)

        # 5. Denoise and decode.
        rows = _Rows(noise, reference_of_row, pose_embedding[pose_of_row])
        pictures = self._draw(rows, _Identity(tokens, plain_tokens, banks))  # (R * P, 3, h, w)
        out = to_uint8(pictures, self.height_px, self.width_px)
        return out.reshape(self.batch_size, n_poses, self.height_px, self.width_px, 3)[
            : len(references)
        ]

    def _compile(self) -> None:
        compilers = (os.environ.get("CXX", ""), "g++", "clang++")
        if self._device.type == "cpu" and not any(map(shutil.which, compilers)):
            raise ParamsError(
                "compiled is true, but there is no C++ compiler (CXX, g++ or clang++) to translate "
                "with. Install one, or leave compiled false."
            )
        # Batches are padded, so each half of guidance has one shape and is translated once.
        self._model.denoising_unet.compile(dynamic=False)

    def _put(self, x: Tensor) -> Tensor:
        return x.to(device=self._device, dtype=self._dtype)

    def _tokens(self, images: Tensor) -> Tensor:
        return self._model.identity_tokens(self._model.identity_features(self._put(images)))

    def _pose_embedding(self, keypoints: NDArray[np.float32]) -> Tensor:
        """The guider's work, done once for batches with the same poses."""
        poses, last = keypoints.tobytes(), self._last_poses
        if last is None or last[0] != poses:
            skeletons = self._put(skeleton_batch(keypoints, self._model.config))
            last = self._last_poses = (poses, self._model.pose_embedding(skeletons))
        return last[1]

    def _draw(self, rows: _Rows, identity: _Identity) -> Tensor:
        """Denoises and decodes all rows, in smaller groups where a GPU's memory is too small."""
        n_rows = len(rows.noise)
        at_once = min(n_rows, self._max_rows or n_rows)
        while True:
            try:
                return torch.cat(
                    [
                        self._draw_rows(rows.part(start, start + at_once), identity)
                        for start in range(0, n_rows, at_once)
                    ]
                )
            except torch.cuda.OutOfMemoryError:
                if at_once == 1:
                    raise
                at_once = self._max_rows = (at_once + 1) // 2
                torch.cuda.empty_cache()
                log.warning("GPU memory is too small: drawing %d pictures at once", at_once)

    def _draw_rows(self, rows: _Rows, identity: _Identity) -> Tensor:
        latents = sample(
            self._model,
            rows.noise.to(self._device),
            identity.tokens,
            identity.plain_tokens,
            identity.banks,
            rows.reference.to(self._device),
            rows.pose_embedding,
            self._sampling,
        )
        # Few pictures at once: their feature maps stay in the processor's cache.
        groups = torch.split(latents.to(self._dtype), DECODE_ROWS)
        return torch.cat([self._model.decode(group).float().cpu() for group in groups])
