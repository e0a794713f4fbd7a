"""CLIP-ReID: CLIP's picture encoders, fine-tuned; features before and after CLIP's projection.

Source: Li et al., CLIP-ReID: Exploiting Vision-Language Model for Image Re-Identification without
Concrete Text Labels, AAAI 2023. Parameter names are the published checkpoints'.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from pose2id.errors import ParamsError
from pose2id.extractors.base import IMAGENET_MEAN, IMAGENET_STD, InputSpec, Request
from pose2id.extractors.clip_towers import (
    CLIP_RN50,
    CLIP_VIT_B16,
    ClipResnet,
    ClipVit,
    cell_count,
)
from pose2id.extractors.families import ClipReidOptions
from pose2id.extractors.network import TorchExtractor
from pose2id.extractors.transreid import (
    HALF,
    camera_side,
    check_cameras,
    check_patches,
    count_patches,
)
from pose2id.extractors.weights import (
    STATE_SUFFIXES,
    build,
    drop_keys,
    find_file,
    read_state,
    refuse_other_count,
)

VIT_INPUT: Final = InputSpec(256, 128, mean=HALF, std=HALF)
CNN_INPUT: Final = InputSpec(256, 128, mean=IMAGENET_MEAN, std=IMAGENET_STD)
TRAINING_ONLY: Final = (
    r"classifier(_proj)?\.",
    r"bottleneck(_proj)?\.",
    r"prompt_learner\.",
    r"text_encoder\.",
)


class ClipReid(nn.Module):
    """A tower under the name that checkpoints give it, with the camera embedding beside it."""

    def __init__(self, tower: ClipVit | ClipResnet, cameras: int = 0) -> None:
        super().__init__()
        self.image_encoder = tower
        if cameras:
            self.cv_embed = nn.Parameter(torch.zeros(cameras, CLIP_VIT_B16.width))

    def forward(self, images: Tensor, cameras: Tensor | None = None) -> Tensor:
        """Maps `(B, 3, H, W)` to `(B, D)`."""
        if cameras is None:
            feature: Tensor = self.image_encoder(images)
            return feature
        known = (cameras >= 0).to(images.dtype)[:, None]
        feature = self.image_encoder(images, known * self.cv_embed[cameras.clamp(min=0)])
        return feature


def load(request: Request) -> TorchExtractor:
    """Loads a checkpoint of CLIP-ReID.

    Raises:
        WeightsError: It does not fit: other keys, camera count or picture size.
        ParamsError: Cameras are given for the CNN, which knows none.
    """
    options: ClipReidOptions = request.options
    path = find_file(request.model, STATE_SUFFIXES, "", "features.model")
    state = drop_keys(read_state(path), TRAINING_ONLY)
    vit = options.backbone == "vit"
    if options.cameras and not vit:
        raise ParamsError(
            f"features.options.cameras is {options.cameras}, but CLIP-ReID's CNN knows no cameras; "
            "leave it out"
        )
    check_cameras(str(path), state, "cv_embed", options.cameras)
    spec = request.input_spec or (VIT_INPUT if vit else CNN_INPUT)
    if vit:
        n_cells = count_patches(spec, options.stride)
        key = "image_encoder.positional_embedding"
        check_patches(str(path), state, key, n_cells, spec, options.stride)
    else:
        n_cells = cell_count(spec.height_px, spec.width_px)
        key = "image_encoder.attnpool.positional_embedding"
        if key in state:
            size = f"features.input ({spec.height_px}x{spec.width_px} px)"
            refuse_other_count(str(path), "cells", len(state[key]) - 1, n_cells, size)

    def empty() -> ClipReid:
        if vit:
            return ClipReid(ClipVit(CLIP_VIT_B16, n_cells, options.stride), options.cameras)
        return ClipReid(ClipResnet(CLIP_RN50, n_cells))

    network = build(empty, state, str(path))
    side = camera_side(options.cameras, options.camera_embedding)
    return TorchExtractor.of_checkpoint(
        request, network, spec, (path,), side=side, n_sides=options.cameras
    )
