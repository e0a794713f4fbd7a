"""The identity network: a picture of a person becomes the feature that steers generation.

A vision transformer with overlapping patches and two last blocks side by side: one reads all
tokens (global), one reads four shuffled groups of patches (local). Its parameter names are those of
TransReID, so that a published checkpoint loads as it is.

Source: He et al., TransReID: Transformer-based Object Re-Identification, ICCV 2021.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pose2id.generation.config import IdentityConfig

LOCAL_GROUPS = 4
SHUFFLE_GROUPS = 2
ROTATION = 4


class _PatchEmbed(nn.Module):
    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(
            3, config.embed_dim, kernel_size=config.patch_px, stride=config.stride_px
        )

    def forward(self, images: Tensor) -> Tensor:
        patches: Tensor = self.proj(images)  # (B, C, rows, columns)
        return patches.flatten(2).transpose(1, 2)  # (B, n_patches, C)


class _Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, dim = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, L, C / heads)
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, length, dim))
        return out


class _Mlp(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class _Block(nn.Module):
    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        dim = config.embed_dim
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = _Attention(dim, config.heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = _Mlp(dim, config.mlp_ratio * dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class _Base(nn.Module):
    """Patches, the class token and every block but the branches' own."""

    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + config.n_patches, config.embed_dim))
        self.patch_embed = _PatchEmbed(config)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.depth - 1))

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patch_embed(images)
        cls_token = self.cls_token.expand(len(patches), -1, -1)
        x: Tensor = torch.cat([cls_token, patches], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return x  # (B, 1 + n_patches, C)


def shuffle_patches(patches: Tensor) -> Tensor:
    """Rotates the patches and interleaves the two halves, so each group sees the whole person.

    Args:
        patches: `(B, n, C)`, in reading order.

    Returns:
        `(B, 2 * (n // 2), C)`.

    >>> shuffle_patches(torch.arange(8.0).view(1, 8, 1)).flatten().tolist()
    [4.0, 0.0, 5.0, 1.0, 6.0, 2.0, 7.0, 3.0]
    """
    batch, count, dim = patches.shape
    rotated = patches.roll(-ROTATION, dims=1)[:, : count - count % SHUFFLE_GROUPS]
    halves = rotated.reshape(batch, SHUFFLE_GROUPS, -1, dim)
    return halves.transpose(1, 2).reshape(batch, -1, dim)


class IdentityNet(nn.Module):
    """Picture of a person -> identity feature.

    Args:
        config: Its sizes.
    """

    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        self.config = config
        self.base = _Base(config)
        self.b1 = nn.Sequential(_Block(config), nn.LayerNorm(config.embed_dim, eps=1e-6))
        self.b2 = nn.Sequential(_Block(config), nn.LayerNorm(config.embed_dim, eps=1e-6))
        self.apply(_initialise)
        nn.init.trunc_normal_(self.base.cls_token, std=0.02)
        nn.init.trunc_normal_(self.base.pos_embed, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        """Computes features.

        Args:
            images: `(B, 3, height_px, width_px)` RGB, (x - 0.5) / 0.5 of values in [0, 1].

        Returns:
            `(B, 5 * embed_dim)`: the global token, then four local ones divided by four; not
            normalised.
        """
        x = self.base(images)  # (B, 1 + n, C)
        parts = [self.b1(x)[:, 0]]
        cls_token, patches = x[:, :1], shuffle_patches(x[:, 1:])
        length = (x.shape[1] - 1) // LOCAL_GROUPS
        for group in range(LOCAL_GROUPS):
            run = patches[:, group * length : (group + 1) * length]
            local = self.b2(torch.cat([cls_token, run], dim=1))[:, 0]
            parts.append(local / LOCAL_GROUPS)
        return torch.cat(parts, dim=1)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
