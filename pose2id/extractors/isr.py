"""ISR: a Swin transformer trained on videos without labels, 512-d features.

Source: Dou et al., Identity-Seeking Self-Supervised Representation Learning for Generalizable
Person Re-identification, ICCV 2023; Liu et al., Swin Transformer, ICCV 2021. Parameter names are
those of timm 0.4, with which the published checkpoint was saved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pose2id.errors import ParamsError
from pose2id.extractors.base import IMAGENET_MEAN, IMAGENET_STD, InputSpec, Request
from pose2id.extractors.network import TorchExtractor
from pose2id.extractors.weights import STATE_SUFFIXES, build, drop_keys, find_file, read_state

SIDE_PX: Final = 224  # the windows of the checkpoint fit this size alone
INPUT_SPEC: Final = InputSpec(SIDE_PX, SIDE_PX, mean=IMAGENET_MEAN, std=IMAGENET_STD)
FEATURE_DIM: Final = 512
_PATCH_PX: Final = 4
_MASKED: Final = -100.0
# Tables that follow from the sizes alone, and ImageNet's classifier.
DERIVED: Final = (
    r"model\.layers\.\d+\.blocks\.\d+\.attn_mask$",
    r"model\.layers\.\d+\.blocks\.\d+\.attn\.relative_position_index$",
    r"model\.head\.",
)


@dataclass(frozen=True, slots=True)
class SwinSize:
    """Width of the first stage, blocks and heads of each stage, side of a window."""

    width: int
    blocks: tuple[int, ...]
    heads: tuple[int, ...]
    window: int


SWIN_BASE: Final = SwinSize(128, (2, 2, 18, 2), (4, 8, 16, 32), 7)


def position_index(window: int) -> Tensor:
    """`(window^2, window^2)` row of the bias table for each pair of cells of a window.

    Example:
        >>> position_index(2)[0].tolist()
        [4, 3, 1, 0]
    """
    cells = torch.arange(window)
    rows, columns = torch.meshgrid(cells, cells, indexing="ij")
    place = torch.stack([rows.flatten(), columns.flatten()])
    apart = place[:, :, None] - place[:, None, :] + window - 1
    return apart[0] * (2 * window - 1) + apart[1]


def shift_mask(side: int, window: int, shift: int) -> Tensor:
    """`(windows, window^2, window^2)`: 0 between cells that were neighbours before the shift."""
    region = torch.zeros(side, side)
    cuts = (slice(0, -window), slice(-window, -shift), slice(-shift, None))
    for number, (rows, columns) in enumerate((r, c) for r in cuts for c in cuts):
        region[rows, columns] = number
    cells = _to_windows(region[None, :, :, None], window).squeeze(-1)  # (windows, window^2)
    return (cells[:, None] != cells[:, :, None]) * _MASKED


def _to_windows(x: Tensor, window: int) -> Tensor:
    """`(B, H, W, C)` to `(B * windows, window^2, C)`."""
    batch, height, width, dim = x.shape
    x = x.view(batch, height // window, window, width // window, window, dim)
    return x.transpose(2, 3).reshape(-1, window * window, dim)


def _from_windows(x: Tensor, window: int, side: int) -> Tensor:
    """The way back from `_to_windows` to `(B, side, side, C)`."""
    n = side // window
    x = x.view(-1, n, n, window, window, x.shape[-1]).transpose(2, 3)
    return x.reshape(-1, side, side, x.shape[-1])


class _WindowAttention(nn.Module):
    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self._heads, self._window = heads, window
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        count, length, dim = x.shape
        qkv = self.qkv(x).view(count, length, 3, self._heads, dim // self._heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (windows, heads, L, C / heads)
        index = position_index(self._window).to(x.device)
        bias = self.relative_position_bias_table[index].permute(2, 0, 1)[None]
        if mask is not None:
            pictures = count // len(mask)
            bias = bias + mask.to(x.device).repeat(pictures, 1, 1)[:, None]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(count, length, dim))
        return out


class _SwinBlock(nn.Module):
    def __init__(self, dim: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self._window, self._shift = window, shift
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = _WindowAttention(dim, heads, window)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, 4 * dim), "fc2": nn.Linear(4 * dim, dim)})

    def forward(self, x: Tensor) -> Tensor:
        side, shift, mask = x.shape[1], self._shift, None
        hidden = self.norm1(x)
        if shift:
            hidden = hidden.roll((-shift, -shift), dims=(1, 2))
            mask = shift_mask(side, self._window, shift)
        hidden = self.attn(_to_windows(hidden, self._window), mask)
        hidden = _from_windows(hidden, self._window, side)
        if shift:
            hidden = hidden.roll((shift, shift), dims=(1, 2))
        x = x + hidden
        out: Tensor = x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))
        return out


class _Merging(nn.Module):
    """Four neighbouring cells become one, twice as wide."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        out: Tensor = self.reduction(self.norm(torch.cat(corners, dim=-1)))
        return out


class _Stage(nn.Module):
    def __init__(
        self, dim: int, blocks: int, heads: int, window: int, side: int, last: bool
    ) -> None:
        super().__init__()
        shift = window // 2 if side > window else 0  # one window alone has nothing to shift to
        self.blocks = nn.Sequential(
            *(_SwinBlock(dim, heads, window, shift * (n % 2)) for n in range(blocks))
        )
        self.downsample = nn.Identity() if last else _Merging(dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.downsample(self.blocks(x))
        return out


class Swin(nn.Module):
    """Maps `(B, 3, S, S)` to `(B, C)`, the mean of the last cells.

    Args:
        size: Its sizes.
        side_px: S.
    """

    def __init__(self, size: SwinSize, side_px: int) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict(
            {
                "proj": nn.Conv2d(3, size.width, _PATCH_PX, _PATCH_PX),
                "norm": nn.LayerNorm(size.width),
            }
        )
        last = len(size.blocks) - 1
        self.layers = nn.Sequential(
            *(
                _Stage(
                    size.width << n,
                    blocks,
                    heads,
                    size.window,
                    (side_px // _PATCH_PX) >> n,
                    n == last,
                )
                for n, (blocks, heads) in enumerate(zip(size.blocks, size.heads, strict=True))
            )
        )
        self.norm = nn.LayerNorm(size.width << last)

    def forward(self, images: Tensor) -> Tensor:
        """Maps pictures to features."""
        cells = self.patch_embed["proj"](images).permute(0, 2, 3, 1)  # (B, S/4, S/4, C)
        x = self.norm(self.layers(self.patch_embed["norm"](cells)))
        pooled: Tensor = x.mean(dim=(1, 2))
        return pooled


class Isr(nn.Module):
    """Maps `(B, 3, 224, 224)` to `(B, 512)`."""

    def __init__(self, size: SwinSize = SWIN_BASE, side_px: int = SIDE_PX) -> None:
        super().__init__()
        self.model = Swin(size, side_px)
        self.feat = nn.Linear(size.width << (len(size.blocks) - 1), FEATURE_DIM)

    def forward(self, images: Tensor) -> Tensor:
        """Maps pictures to features."""
        feature: Tensor = self.feat(self.model(images))
        return feature


def load(request: Request) -> TorchExtractor:
    """Loads the checkpoint of ISR.

    Raises:
        WeightsError: It does not fit.
        ParamsError: Another picture size is declared.
    """
    spec = request.input_spec or INPUT_SPEC
    if (spec.height_px, spec.width_px) != (SIDE_PX, SIDE_PX):
        raise ParamsError(
            f"features.input is {spec.height_px}x{spec.width_px} px; ISR was trained at "
            f"{SIDE_PX}x{SIDE_PX} px and its windows fit no other size. Leave features.input out"
        )
    path = find_file(request.model, STATE_SUFFIXES, "", "features.model")
    state = drop_keys(read_state(path), DERIVED)
    network = build(Isr, state, str(path))
    return TorchExtractor.of_checkpoint(request, network, spec, (path,))
