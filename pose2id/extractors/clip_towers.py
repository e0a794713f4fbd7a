"""CLIP's two picture encoders as re-identification networks use them.

Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML
2021. Parameter names are CLIP's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_PATCH_PX: Final = 16
_EXPANSION: Final = 4


@dataclass(frozen=True, slots=True)
class ClipVitSize:
    """Width of a token, blocks, heads and width of the projection."""

    width: int
    depth: int
    heads: int
    projected: int


@dataclass(frozen=True, slots=True)
class ClipResnetSize:
    """Channels of the stem, blocks of each stage, heads and width of the projection."""

    width: int
    blocks: tuple[int, int, int, int]
    heads: int
    projected: int


CLIP_VIT_B16: Final = ClipVitSize(768, 12, 12, 512)
CLIP_RN50: Final = ClipResnetSize(64, (3, 4, 6, 3), 32, 1024)


class _Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = F.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        out: Tensor = self.out_proj(_attend(query, key, value, self._heads))
        return out


def _attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Multi-head attention of `(B, L, C)` to `(B, S, C)`; gives `(B, L, C)`."""
    q, k, v = (x.view(*x.shape[:2], heads, -1).transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class _QuickGelu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class _VitBlock(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(dim)
        self.attn = _Attention(dim, heads)
        self.ln_2 = nn.LayerNorm(dim)
        self.mlp = nn.ModuleDict(
            {
                "c_fc": nn.Linear(dim, 4 * dim),
                "gelu": _QuickGelu(),
                "c_proj": nn.Linear(4 * dim, dim),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        hidden: Tensor = self.ln_2(x)
        for step in self.mlp.values():
            hidden = step(hidden)
        return x + hidden


class ClipVit(nn.Module):
    """Maps `(B, 3, H, W)` to `(B, width + projected)`: the class token and its projection.

    Args:
        size: Its sizes.
        n_patches: Patch tokens of a picture.
        stride: Step between patches.
    """

    def __init__(self, size: ClipVitSize, n_patches: int, stride: int) -> None:
        super().__init__()
        width = size.width
        self.conv1 = nn.Conv2d(3, width, _PATCH_PX, stride, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros(1 + n_patches, width))
        self.ln_pre = nn.LayerNorm(width)
        blocks = nn.ModuleList(_VitBlock(width, size.heads) for _ in range(size.depth))
        self.transformer = nn.ModuleDict({"resblocks": blocks})
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.zeros(width, size.projected))

    def forward(self, images: Tensor, of_camera: Tensor | None = None) -> Tensor:
        """Maps pictures, with what is added to their class tokens `(B, width)`, to features."""
        patches = self.conv1(images).flatten(2).transpose(1, 2)  # (B, n, width)
        start = self.class_embedding.expand(len(patches), -1)
        if of_camera is not None:
            start = start + of_camera
        x = torch.cat([start[:, None], patches], dim=1) + self.positional_embedding
        x = self.ln_pre(x)
        blocks = self.transformer["resblocks"]
        assert isinstance(blocks, nn.ModuleList)
        for block in blocks:
            x = block(x)
        token = self.ln_post(x[:, 0])
        return torch.cat([token, token @ self.proj], dim=1)


class _Bottleneck(nn.Module):
    """CLIP's residual block: an average pool in place of a strided convolution."""

    def __init__(self, n_in: int, width: int, stride: int) -> None:
        super().__init__()
        n_out = width * _EXPANSION
        self.conv1, self.bn1 = nn.Conv2d(n_in, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, n_out, 1, bias=False), nn.BatchNorm2d(n_out)
        self._stride = stride
        if stride > 1 or n_in != n_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out)
            )
        else:
            self.downsample = nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(self._shrink(out)))
        shortcut = self.downsample(self._shrink(x)) if len(self.downsample) else x
        return F.relu(out + shortcut)

    def _shrink(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self._stride) if self._stride > 1 else x


class _AttentionPool(nn.Module):
    """Pools a feature map by attention from its mean; gives `(B, projected)`."""

    def __init__(self, n_cells: int, dim: int, heads: int, projected: int) -> None:
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.zeros(1 + n_cells, dim))
        self.q_proj, self.k_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.v_proj, self.c_proj = nn.Linear(dim, dim), nn.Linear(dim, projected)
        self._heads = heads

    def forward(self, x: Tensor) -> Tensor:
        cells = x.flatten(2).transpose(1, 2)  # (B, n, dim)
        tokens = torch.cat([cells.mean(dim=1, keepdim=True), cells], dim=1)
        tokens = tokens + self.positional_embedding
        query = self.q_proj(tokens[:, :1])
        mixed = _attend(query, self.k_proj(tokens), self.v_proj(tokens), self._heads)
        out: Tensor = self.c_proj(mixed[:, 0])
        return out


class ClipResnet(nn.Module):
    """Maps `(B, 3, H, W)` to `(B, 32 * width + projected)`: the mean cell and the attention pool.

    Args:
        size: Its sizes.
        n_cells: Cells of the last feature map.
    """

    def __init__(self, size: ClipResnetSize, n_cells: int) -> None:
        super().__init__()
        width = size.width
        self.conv1 = nn.Conv2d(3, width // 2, 3, 2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        n_in = width
        stages = []
        for number, (count, stride) in enumerate(zip(size.blocks, (1, 2, 2, 1), strict=True)):
            inner = width << number
            first = _Bottleneck(n_in, inner, stride)
            n_in = inner * _EXPANSION
            rest = [_Bottleneck(n_in, inner, 1) for _ in range(count - 1)]
            stages.append(nn.Sequential(first, *rest))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.attnpool = _AttentionPool(n_cells, n_in, size.heads, size.projected)

    def forward(self, images: Tensor) -> Tensor:
        """Maps pictures to features."""
        x = F.relu(self.bn1(self.conv1(images)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.avg_pool2d(F.relu(self.bn3(self.conv3(x))), 2)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return torch.cat([x.mean(dim=(2, 3)), self.attnpool(x)], dim=1)


def cell_count(height_px: int, width_px: int) -> int:
    """Cells of the last feature map of `ClipResnet`, a sixteenth of the sides.

    Example:
        >>> cell_count(256, 128)
        128
    """
    return (height_px // 16) * (width_px // 16)
