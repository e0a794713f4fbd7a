"""What a camera does to a picture: light, colour, blur, noise and compression."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pose2id.renderer.seeds import generator

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Camera:
    """One fixed camera and its site.

    Attributes:
        seed: Seed of the cameras.
        index: Number of the camera.
        gain: Factor on red, green and blue.
        exposure: Factor on all channels.
        gamma: Exponent on brightness; below 1 lifts shadows.
        contrast: Factor on distances from mid-grey.
        haze: Share of grey-white veil.
        blur_px: Radius of the blur at a height of 128 px.
        noise: Standard deviation of sensor noise, in 0..255.
        jpeg_quality: Quality of the compression.
        light: Direction that light comes from: right, down, toward the viewer.
        azimuth_deg: Where people mostly look, as walking directions repeat at a site.
        crop_jitter: Strength of detection errors: shift and zoom of the crop.
    """

    seed: int
    index: int
    gain: tuple[float, float, float]
    exposure: float
    gamma: float
    contrast: float
    haze: float
    blur_px: float
    noise: float
    jpeg_quality: int
    light: tuple[float, float, float]
    azimuth_deg: float
    crop_jitter: float

    @staticmethod
    def sample(seed: int, index: int) -> Camera:
        """Draws a camera.

        Args:
            seed: Seed of the cameras.
            index: Number of the camera.

        Returns:
            The camera that belongs to (seed, index), whatever was drawn before.
        """
        rng = generator("camera", seed, index)
        # Warm against cold and green against magenta, as white balances err.
        warm, tint = rng.uniform(-0.3, 0.3), rng.uniform(-0.12, 0.12)
        return Camera(
            seed=seed,
            index=index,
            gain=(float(1 + warm), float(1 + tint), float(1 - warm)),
            exposure=float(np.exp(rng.uniform(-0.6, 0.35))),
            gamma=float(np.exp(rng.uniform(-0.3, 0.3))),
            contrast=float(rng.uniform(0.65, 1.2)),
            haze=float(rng.uniform(0.0, 0.2)),
            blur_px=float(rng.uniform(0.4, 1.5)),
            noise=float(rng.uniform(3.0, 12.0)),
            jpeg_quality=int(rng.integers(30, 80)),
            light=(float(rng.uniform(-0.9, 0.9)), float(rng.uniform(-0.8, -0.2)), 0.7),
            azimuth_deg=float(rng.uniform(0, 360)),
            crop_jitter=float(rng.uniform(0.3, 1.0)),
        )

    def expose(
        self, picture: Floats, rng: np.random.Generator, infrared: bool
    ) -> NDArray[np.uint8]:
        """Turns light into a compressed picture.

        Args:
            picture: `(H, W, 3) float32` in 0..255.
            rng: Decides flicker of the exposure and noise.
            infrared: Leave colour gain out and lamp light falling off to the edges in.

        Returns:
            `(H, W, 3) uint8`.
        """
        rows, cols = picture.shape[:2]
        level = self.exposure * rng.uniform(0.85, 1.15)
        light = np.clip(picture * np.float32(level / 255), 0, 1.3)
        if infrared:
            y, x = np.linspace(-1, 1, rows)[:, None, None], np.linspace(-1, 1, cols)[None, :, None]
            light = light * (1.1 - 0.35 * (x * x + y * y)).astype(np.float32)
        else:
            drift = rng.normal(0, 0.03, 3)
            light = light * (np.array(self.gain) + drift).astype(np.float32)
        value = np.clip(light, 0, 1) ** np.float32(self.gamma)
        value = (value - np.float32(0.5)) * np.float32(self.contrast) + np.float32(0.5)
        value = value * np.float32(1 - self.haze) + np.float32(0.75 * self.haze)
        image = Image.fromarray(np.clip(value * 255, 0, 255).astype(np.uint8))
        image = image.filter(ImageFilter.GaussianBlur(self.blur_px * rows / 128))
        channels = 1 if infrared else 3
        noise = rng.standard_normal((rows, cols, channels), np.float32) * np.float32(self.noise)
        noisy = np.clip(np.asarray(image, np.float32) + noise, 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noisy).save(buffer, "JPEG", quality=self.jpeg_quality)
        compressed = np.asarray(Image.open(buffer).convert("RGB"))
        return np.repeat(compressed[..., :1], 3, axis=2) if infrared else compressed
