"""Pictures to tensors and back, the way that the generator was trained to see them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pose2id.generation.config import IpgConfig
from pose2id.poses.skeleton import draw_skeleton


def image_batch(images: Sequence[Image.Image], height_px: int, width_px: int) -> Tensor:
    """Resizes pictures and maps them to [-1, 1].

    Args:
        images: B pictures, any size and mode.
        height_px: Height of the result.
        width_px: Width of the result.

    Returns:
        `(B, 3, height_px, width_px) float32` RGB in [-1, 1].
    """
    return (
        2 * torch.stack([_unit_tensor(i.convert("RGB"), height_px, width_px) for i in images]) - 1
    )


def skeleton_batch(keypoints: NDArray[np.float32], config: IpgConfig) -> Tensor:
    """Draws poses for the pose guider.

    Args:
        keypoints: `(P, 18, 3) float32` OpenPose-18, x and y in [0, 1], confidence.
        config: Sizes and channel order that the weights need.

    Returns:
        `(P, 3, config.height_px, config.width_px) float32` in [0, 1].
    """
    style = config.skeleton
    drawn = [draw_skeleton(points, style.height_px, style.width_px) for points in keypoints]
    batch = torch.stack(
        [_unit_tensor(Image.fromarray(d), config.height_px, config.width_px) for d in drawn]
    )
    return batch.flip(1) if style.channel_order == "bgr" else batch


def to_uint8(pictures: Tensor, height_px: int, width_px: int) -> NDArray[np.uint8]:
    """Maps decoded pictures to 8 bits, as the official code rounds: towards zero.

    Args:
        pictures: `(B, 3, h, w)` RGB, about [-1, 1].
        height_px: Height of the result.
        width_px: Width of the result.

    Returns:
        `(B, height_px, width_px, 3) uint8` RGB.
    """
    unit = (pictures / 2 + 0.5).clamp(0, 1)
    levels: NDArray[np.uint8] = (unit * 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    if levels.shape[1:3] == (height_px, width_px):
        return levels
    resized = [_resize(Image.fromarray(picture), height_px, width_px) for picture in levels]
    return np.stack([np.asarray(picture) for picture in resized])


def _unit_tensor(image: Image.Image, height_px: int, width_px: int) -> Tensor:
    pixels = np.array(_resize(image, height_px, width_px), dtype=np.float32) / 255  # (H, W, 3)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _resize(image: Image.Image, height_px: int, width_px: int) -> Image.Image:
    return image.resize((width_px, height_px), Image.Resampling.LANCZOS)
