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


class PatchEmbed(nn.Module):
    """Patches of a picture as tokens.

    Args:
        dim: Token width.
        patch_px: Side of a patch.
        stride_px: Step between patches.
    """

    def __init__(self, dim: int, patch_px: int, stride_px: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=patch_px, stride=stride_px)

    def forward(self, images: Tensor) -> Tensor:
        """Maps `(B, 3, H, W)` to `(B, n_patches, dim)`."""
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


class Block(nn.Module):
    """A transformer block that normalises first.

    Args:
        dim: Token width.
        heads: Attention heads.
        mlp_ratio: Hidden width of its MLP, in token widths.
        eps: Of its normalisations.
    """

    def __init__(self, dim: int, heads: int, mlp_ratio: int = 4, eps: float = 1e-6) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = _Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = _Mlp(dim, mlp_ratio * dim)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `(B, L, dim)` to the same shape."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


def _block(config: IdentityConfig) -> Block:
    return Block(config.embed_dim, config.heads, config.mlp_ratio)


class _Base(nn.Module):
    """Patches, the class token and every block but the branches' own."""

    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.embed_dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + config.n_patches, config.embed_dim))
        self.patch_embed = PatchEmbed(config.embed_dim, config.patch_px, config.stride_px)
        self.blocks = nn.ModuleList(_block(config) for _ in range(config.depth - 1))

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
        self.b1 = nn.Sequential(_block(config), nn.LayerNorm(config.embed_dim, eps=1e-6))
        self.b2 = nn.Sequential(_block(config), nn.LayerNorm(config.embed_dim, eps=1e-6))
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
        return global_and_local(self.base(images), self.b1, self.b2)


def global_and_local(tokens: Tensor, b1: nn.Module, b2: nn.Module) -> Tensor:
    """The feature of both branches from the tokens that they share.

    Args:
        tokens: `(B, 1 + n, C)`, the class token first.
        b1: The global branch, which reads all tokens.
        b2: The local branch, which reads the class token and one of four groups of patches.

    Returns:
        `(B, 5 * C)`: the global token, then four local ones divided by four.
    """
    parts = [b1(tokens)[:, 0]]
    cls_token, patches = tokens[:, :1], shuffle_patches(tokens[:, 1:])
    length = (tokens.shape[1] - 1) // LOCAL_GROUPS
    for group in range(LOCAL_GROUPS):
        run = patches[:, group * length : (group + 1) * length]
        local = b2(torch.cat([cls_token, run], dim=1))[:, 0]
        parts.append(local / LOCAL_GROUPS)
    return torch.cat(parts, dim=1)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
