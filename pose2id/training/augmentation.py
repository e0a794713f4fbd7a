"""Training pictures changed at random, so that a network learns what stays the same."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pose2id.training.randomness import StepRandom


def augment(images: Tensor, random: StepRandom) -> Tensor:
    """Mirrors, shifts, tints and partly hides pictures, each in its own way.

    Args:
        images: `(B, 3, H, W)` in [-1, 1].
        random: Source of the draws.

    Returns:
        Same shape.
    """
    batch, _, height, width = images.shape
    device = images.device
    draw = random.uniform(batch, 9).to(device)
    mirror = torch.where(draw[:, 0] < 0.5, -1.0, 1.0)
    theta = torch.zeros(batch, 2, 3, device=device)
    theta[:, 0, 0] = mirror * (0.9 + 0.2 * draw[:, 1])
    theta[:, 1, 1] = 0.9 + 0.2 * draw[:, 2]
    theta[:, :, 2] = (draw[:, 3:5] - 0.5) * 0.16
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    gain = 1.0 + 0.3 * (random.uniform(batch, 3, 1, 1).to(device) - 0.5)
    tinted = ((moved + 1.0) * gain - 1.0).clamp(-1.0, 1.0)
    # A grey rectangle in half of the pictures stands for occluders.
    rows = torch.arange(height, device=device)[None, :, None]
    columns = torch.arange(width, device=device)[None, None, :]
    top, left = draw[:, 5] * height, draw[:, 6] * width
    inside = (rows >= top[:, None, None]) & (rows < (top + 0.35 * height)[:, None, None])
    inside = (
        inside & (columns >= left[:, None, None]) & (columns < (left + 0.5 * width)[:, None, None])
    )
    hidden = inside & (draw[:, 7] < 0.5)[:, None, None]
    return torch.where(hidden[:, None], (2.0 * draw[:, 8] - 1.0)[:, None, None, None], tinted)


def distort(images: Tensor, random: StepRandom) -> Tensor:
    """Changes light, colour, resolution and noise, and puts parts of other pictures in front.

    Args:
        images: `(B, 3, H, W)` in [-1, 1].
        random: Source of the draws.

    Returns:
        Same shape.
    """
    batch, device = len(images), images.device
    draw = random.uniform(batch, 10, 1, 1, 1).to(device)
    gamma, exposure, contrast, saturation = (draw[:, i] for i in range(4))
    light = ((images + 1.0) / 2.0).clamp(min=1e-3) ** torch.exp(0.9 * (gamma - 0.5))
    white = random.uniform(batch, 3, 1, 1).to(device)
    light = light * torch.exp(0.35 * (white - 0.5) + 0.6 * (exposure - 0.5))
    mean = light.mean(dim=(2, 3), keepdim=True)
    light = mean + (light - mean) * (0.7 + 0.6 * contrast)
    grey = light.mean(dim=1, keepdim=True)
    light = grey + (light - grey) * (0.4 + 0.8 * saturation)
    light = _at_low_resolution(light, draw[:, 4].flatten() < 0.4, 0.3 + 0.5 * float(draw[0, 5]))
    noise = random.uniform(*images.shape).to(device) - 0.5
    light = light + 0.15 * draw[:, 6] * noise
    others = light[torch.from_numpy(random.numpy.permutation(batch)).to(device)]
    covered = _rectangles(images, random.uniform(batch, 5, 1, 1).to(device))
    return (2.0 * torch.where(covered, others, light) - 1.0).clamp(-1.0, 1.0)


def _at_low_resolution(images: Tensor, which: Tensor, share: float) -> Tensor:
    """Some pictures as a sensor with fewer pixels gives them; `share` of them per side."""
    if not which.any():
        return images
    height, width = images.shape[2:]
    small = F.interpolate(images[which], (int(height * share), int(width * share)), mode="area")
    coarse = F.interpolate(small, (height, width), mode="bilinear", align_corners=False)
    return images.index_put((which,), coarse)


def _rectangles(images: Tensor, draw: Tensor) -> Tensor:
    """A rectangle in four pictures of ten, `(B, 1, H, W) bool`; `draw` is `(B, 5, 1, 1)`."""
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device)[:, None] / height
    columns = torch.arange(width, device=images.device)[None, :] / width
    top, left, high, wide, chance = (draw[:, i : i + 1] for i in range(5))
    top, left = 1.2 * top - 0.2, 1.3 * left - 0.3
    high, wide = 0.1 + 0.3 * high, 0.15 + 0.4 * wide
    inside = (rows >= top) & (rows < top + high) & (columns >= left) & (columns < left + wide)
    return inside & (chance < 0.4)
