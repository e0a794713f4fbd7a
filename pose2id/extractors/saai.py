"""SAAI: part features of visible and infrared pictures.

Source: Fang et al., Visible-Infrared Person Re-Identification via Semantic Alignment and Affinity
Inference, ICCV 2023. Parameter names are the published checkpoints'. The affinity inference (AIM)
that the authors add when ranking is no part of the feature.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pose2id.extractors.base import IMAGENET_MEAN, IMAGENET_STD, InputSpec, Request
from pose2id.extractors.families import SaaiOptions
from pose2id.extractors.network import TorchExtractor
from pose2id.extractors.weights import (
    STATE_SUFFIXES,
    build,
    drop_keys,
    find_file,
    read_state,
    refuse_other_count,
)

INPUT_SPEC: Final = InputSpec(288, 144, mean=IMAGENET_MEAN, std=IMAGENET_STD)
MODALITIES: Final = 2  # 0 visible, 1 infrared
TRAINING_ONLY: Final = (r"(visible_|infrared_)?classifier_?\.",)
_DIM: Final = 2048
_EXPANSION: Final = 4


class _Bottleneck(nn.Module):
    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__()
        n_out = width * _EXPANSION
        self.conv1, self.bn1 = nn.Conv2d(n_in, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, n_out, 1, bias=False), nn.BatchNorm2d(n_out)
        self.downsample = nn.Sequential()
        if stride > 1 or n_in != n_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.downsample(x))


class _ModalityAttention(nn.Module):
    """Mixes each channel with its normalised self, by how much the whole map asks for it."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.channel_attention = nn.Sequential(
            nn.Conv2d(dim, dim // 16, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(dim // 16, dim, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        share = self.channel_attention(x.mean(dim=(2, 3), keepdim=True))
        mixed: Tensor = x * share + F.instance_norm(x) * (1 - share)
        return mixed


class _Resnet50(nn.Module):
    """ResNet-50 whose last stage keeps the resolution."""

    def __init__(self, modality_attention: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        n_in = 64
        stages = []
        for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 1)):
            first = _Bottleneck(n_in, width, stride)
            n_in = width * _EXPANSION
            rest = [_Bottleneck(n_in, width, 1) for _ in range(count - 1)]
            stages.append(nn.Sequential(first, *rest))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.MAM3 = _ModalityAttention(1024) if modality_attention > 1 else nn.Identity()
        self.MAM4 = _ModalityAttention(_DIM) if modality_attention > 0 else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(images)))
        x = self.layer2(self.layer1(F.max_pool2d(x, 3, 2, padding=1)))
        out: Tensor = self.MAM4(self.layer4(self.MAM3(self.layer3(x))))
        return out


class _Parts(nn.Module):
    """Learned tokens, each of which sums the cells that it attends to."""

    def __init__(self, parts: int, n_cells: int) -> None:
        super().__init__()
        self.part_tokens = nn.Parameter(torch.zeros(parts, _DIM))
        self.pos_embeding = nn.Parameter(torch.zeros(n_cells, _DIM))  # the checkpoint's spelling

    def forward(self, x: Tensor) -> Tensor:
        cells = x.flatten(2).transpose(1, 2)  # (B, n, C)
        share = torch.sigmoid(self.part_tokens @ (cells + self.pos_embeding).transpose(1, 2))
        return (share @ cells / cells.shape[1]).flatten(1)  # (B, parts * C)


class _DualNeck(nn.Module):
    """One normalisation per modality."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.bn_neck_v, self.bn_neck_i = nn.BatchNorm1d(dim), nn.BatchNorm1d(dim)

    def forward(self, x: Tensor, modalities: Tensor) -> Tensor:
        infrared = (modalities == 1)[:, None]
        return torch.where(infrared, self.bn_neck_i(x), self.bn_neck_v(x))


class Saai(nn.Module):
    """Maps `(B, 3, H, W)` and modalities `(B,)` to `(B, 2048 * (parts + 1))`.

    Args:
        parts: Part tokens.
        modality_attention: Number of attention modules.
        n_cells: Cells of the last feature map.
    """

    def __init__(self, parts: int, modality_attention: int, n_cells: int) -> None:
        super().__init__()
        self.backbone = _Resnet50(modality_attention)
        self.attn_pool = _Parts(parts, n_cells)
        self.bn_neck = _DualNeck(_DIM * (parts + 1))

    def forward(self, images: Tensor, modalities: Tensor) -> Tensor:
        """Maps pictures to features; an unknown modality (-1) counts as visible."""
        x = self.backbone(images)
        joined = torch.cat([self.attn_pool(x), x.mean(dim=(2, 3))], dim=1)
        feature: Tensor = self.bn_neck(joined, modalities)
        return feature


def load(request: Request) -> TorchExtractor:
    """Loads a checkpoint of SAAI.

    Raises:
        WeightsError: It does not fit: other keys, parts or picture size.
    """
    options: SaaiOptions = request.options
    path = find_file(request.model, STATE_SUFFIXES, "", "features.model")
    spec = request.input_spec or INPUT_SPEC
    state = drop_keys(read_state(path), TRAINING_ONLY)
    n_cells = -(-spec.height_px // 16) * -(-spec.width_px // 16)
    if (tokens := state.get("attn_pool.part_tokens")) is not None:
        option = "features.options.parts"
        refuse_other_count(str(path), "parts", len(tokens), options.parts, option)
    if (places := state.get("attn_pool.pos_embeding")) is not None:
        size = f"features.input ({spec.height_px}x{spec.width_px} px)"
        refuse_other_count(str(path), "cells", len(places), n_cells, size)
    network = build(
        lambda: Saai(options.parts, options.modality_attention, n_cells), state, str(path)
    )
    return TorchExtractor.of_checkpoint(
        request, network, spec, (path,), side="modality", n_sides=MODALITIES
    )
