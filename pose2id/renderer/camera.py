"""What a camera does to a picture: light, colour, blur, noise and compression."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pose2id.renderer.identity import Look
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
        crowd: Share of shots in which somebody or something is in front of or behind the person.
        sharpening: Strength of the unsharp mask that many cameras apply.
        motion_px: Longest blur by motion at a height of 128 px.
        resolution: Least share of the picture's pixels, per side, that the sensor gave.
        bad_crops: Share of shots that cut off a part of the person.
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
    crowd: float = 0.24
    sharpening: float = 0.0
    motion_px: float = 0.0
    resolution: float = 1.0
    bad_crops: float = 0.0

    @staticmethod
    def sample(seed: int, index: int, look: Look = "plain") -> Camera:
        """Draws a camera.

        Args:
            seed: Seed of the cameras.
            index: Number of the camera.
            look: Which kind of cameras.

        Returns:
            The camera that belongs to (seed, index, look), whatever was drawn before.
        """
        camera = Camera._plain(seed, index)
        return camera if look == "plain" else _in_a_street(camera)

    @staticmethod
    def _plain(seed: int, index: int) -> Camera:
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
        image = self._focus(image, rng)
        channels = 1 if infrared else 3
        noise = rng.standard_normal((rows, cols, channels), np.float32) * np.float32(self.noise)
        noisy = np.clip(np.asarray(image, np.float32) + noise, 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noisy).save(buffer, "JPEG", quality=self.jpeg_quality)
        compressed = np.asarray(Image.open(buffer).convert("RGB"))
        return np.repeat(compressed[..., :1], 3, axis=2) if infrared else compressed

    def _focus(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """Blur of the lens and of motion, the sensor's pixels, and sharpening."""
        scale = image.height / 128
        image = image.filter(ImageFilter.GaussianBlur(self.blur_px * scale))
        if self.motion_px:
            reach = int(rng.uniform(0, self.motion_px) * scale)
            if reach:
                image = _moved(image, reach)
        if self.resolution < 1:
            share, size = rng.uniform(self.resolution, 1.0), image.size
            image = image.resize(
                (max(1, int(size[0] * share)), max(1, int(size[1] * share))),
                Image.Resampling.BOX,
            ).resize(size, Image.Resampling.BICUBIC)
        if self.sharpening:
            percent = int(100 * self.sharpening)
            image = image.filter(ImageFilter.UnsharpMask(1.5 * scale, percent, threshold=0))
        return image


def _in_a_street(camera: Camera) -> Camera:
    """The same site seen by a clearer camera, which errs in ways of its own."""
    rng = generator("street camera", camera.seed, camera.index)
    warm, tint = rng.uniform(-0.2, 0.2), rng.uniform(-0.08, 0.08)
    return replace(
        camera,
        gain=(float(1 + warm), float(1 + tint), float(1 - warm)),
        exposure=float(np.exp(rng.uniform(-0.35, 0.45))),
        gamma=float(np.exp(rng.uniform(-0.25, 0.35))),
        contrast=float(rng.uniform(0.85, 1.45)),
        haze=float(max(0.0, rng.uniform(-0.08, 0.1))),
        blur_px=float(rng.uniform(0.2, 1.0)),
        noise=float(rng.uniform(0.5, 7.0)),
        jpeg_quality=int(rng.integers(35, 93)),
        crop_jitter=float(rng.uniform(0.3, 0.9)),
        crowd=0.35,
        sharpening=float(max(0.0, rng.uniform(-1.0, 1.5))),
        motion_px=float(max(0.0, rng.uniform(-4.0, 5.0))),
        resolution=float(min(1.0, rng.uniform(0.3, 1.3))),
        bad_crops=0.1,
    )


def _moved(image: Image.Image, reach: int) -> Image.Image:
    """The mean of the picture moved sideways by 0 to `reach` pixels."""
    pixels = np.asarray(image, np.float32)
    shifted = [np.roll(pixels, step, axis=1) for step in range(reach + 1)]
    return Image.fromarray(np.mean(shifted, axis=0).astype(np.uint8))
