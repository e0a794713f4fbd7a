"""TransReID: a vision transformer with camera embeddings and a jigsaw branch, strictly loaded.

Source: He et al., TransReID: Transformer-based Object Re-Identification, ICCV 2021. The names of
the parameters are the published checkpoints'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from pose2id.errors import ParamsError, WeightsError
from pose2id.extractors.base import NO_SIDE, InputSpec, Request
from pose2id.extractors.families import Side, TransReidOptions
from pose2id.extractors.network import TorchExtractor
from pose2id.extractors.weights import (
    STATE_SUFFIXES,
    build,
    drop_keys,
    find_file,
    read_state,
    refuse_other_count,
)
from pose2id.generation.identity_net import Block, PatchEmbed, global_and_local

HALF: Final = (0.5, 0.5, 0.5)
INPUT_SPEC: Final = InputSpec(256, 128, mean=HALF, std=HALF)
PATCH_PX: Final = 16
SIE_FACTOR: Final = 3.0


@dataclass(frozen=True, slots=True)
class VitSize:
    """Width of a token, transformer blocks and attention heads."""

    width: int
    depth: int
    heads: int


SIZES: Final = {
    "base": VitSize(768, 12, 12),
    "small": VitSize(384, 12, 6),
    "tiny": VitSize(192, 12, 3),
}


class Vit(nn.Module):
    """Overlapping patches, a class token and transformer blocks.

    Args:
        size: Its sizes.
        n_patches: Patch tokens of a picture.
        stride: Step between patches.
        cameras: Rows of the camera embedding; 0 = none.
        whole: Whether it has its last block and normalisation, or leaves them to branches.
        eps: Of the normalisations.
    """

    def __init__(
        self,
        size: VitSize,
        n_patches: int,
        stride: int,
        *,
        cameras: int = 0,
        whole: bool = True,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, size.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + n_patches, size.width))
        self.patch_embed = PatchEmbed(size.width, PATCH_PX, stride)
        if cameras:
            self.sie_embed = nn.Parameter(torch.zeros(cameras, 1, size.width))
        depth = size.depth if whole else size.depth - 1
        self.blocks = nn.ModuleList(Block(size.width, size.heads, eps=eps) for _ in range(depth))
        self.norm = nn.LayerNorm(size.width, eps=eps) if whole else nn.Identity()

    def forward(self, images: Tensor, cameras: Tensor | None = None) -> Tensor:
        """Maps `(B, 3, H, W)` and cameras `(B,)`, -1 for none, to tokens `(B, 1 + n, width)`."""
        patches = self.patch_embed(images)
        cls_token = self.cls_token.expand(len(patches), -1, -1)
        x: Tensor = torch.cat([cls_token, patches], dim=1) + self.pos_embed
        if cameras is not None:
            known = (cameras != NO_SIDE).to(x.dtype)[:, None, None]
            x = x + SIE_FACTOR * known * self.sie_embed[cameras.clamp(min=0)]
        for block in self.blocks:
            x = block(x)
        tokens: Tensor = self.norm(x)
        return tokens


class TransReid(nn.Module):
    """Maps pictures to the feature before the neck: the global token, with JPM four local ones."""

    def __init__(self, size: VitSize, n_patches: int, stride: int, cameras: int, jpm: bool) -> None:
        super().__init__()
        self.base = Vit(size, n_patches, stride, cameras=cameras, whole=not jpm)
        self._jpm = jpm
        if jpm:
            self.b1, self.b2 = (
                nn.Sequential(Block(size.width, size.heads), nn.LayerNorm(size.width, eps=1e-6))
                for _ in range(2)
            )

    def forward(self, images: Tensor, cameras: Tensor | None = None) -> Tensor:
        """Maps `(B, 3, H, W)` to `(B, width)`, or `(B, 5 * width)` with JPM."""
        tokens: Tensor = self.base(images, cameras)
        return global_and_local(tokens, self.b1, self.b2) if self._jpm else tokens[:, 0]


def load(request: Request) -> TorchExtractor:
    """Loads a checkpoint of TransReID.

    Raises:
        WeightsError: It does not fit: other keys, camera count or picture size.
        ParamsError: The options contradict each other.
    """
    options: TransReidOptions = request.options
    path = find_file(request.model, STATE_SUFFIXES, "", "features.model")
    spec = request.input_spec or INPUT_SPEC
    size, depth = SIZES[options.size], SIZES[options.size].depth
    training_only = [r"classifier(_\d)?\.", r"bottleneck(_\d)?\.", r"base\.fc\."]
    if options.jpm:  # the branches hold copies of the last block and the normalisation
        training_only += [rf"base\.blocks\.{depth - 1}\.", r"base\.norm\."]
    state = drop_keys(read_state(path), training_only)
    if "b1.0.norm1.weight" in state and not options.jpm:
        raise WeightsError(
            f"{path} has the jigsaw branch (b1, b2); set features.options.jpm to true"
        )
    check_cameras(str(path), state, "base.sie_embed", options.cameras)
    n_patches = count_patches(spec, options.stride)
    check_patches(str(path), state, "base.pos_embed", n_patches, spec, options.stride)
    network = build(
        lambda: TransReid(size, n_patches, options.stride, options.cameras, options.jpm),
        state,
        str(path),
    )
    side = camera_side(options.cameras, options.camera_embedding)
    return TorchExtractor.of_checkpoint(
        request, network, spec, (path,), side=side, n_sides=options.cameras
    )


def camera_side(cameras: int, embedding: str) -> Side:
    """Whether a network wants to know the camera of a picture."""
    return "camera" if cameras and embedding == "originals" else "none"


def count_patches(spec: InputSpec, stride: int) -> int:
    """Patch tokens of a picture.

    Raises:
        ParamsError: The picture is smaller than a patch.

    Example:
        >>> count_patches(InputSpec(256, 128), 12), count_patches(InputSpec(256, 128), 16)
        (210, 128)
    """
    if min(spec.height_px, spec.width_px) < PATCH_PX:
        raise ParamsError(
            f"features.input is {spec.height_px}x{spec.width_px} px; at least {PATCH_PX} px along "
            "both sides are needed"
        )
    rows, columns = ((side - PATCH_PX) // stride + 1 for side in (spec.height_px, spec.width_px))
    return rows * columns


def check_patches(
    source: str, state: dict[str, Tensor], key: str, n_patches: int, spec: InputSpec, stride: int
) -> None:
    """Refuses a checkpoint that was trained at another picture size or stride.

    Raises:
        WeightsError: The numbers of patches differ.
    """
    if key in state:
        in_file = state[key].shape[-2] - 1
        refuse_other_count(
            source,
            "patches",
            in_file,
            n_patches,
            f"features.input ({spec.height_px}x{spec.width_px} px) with stride {stride}",
            " (features.input.height_px and width_px, features.options.stride)",
        )


def check_cameras(source: str, state: dict[str, Tensor], key: str, cameras: int) -> None:
    """Refuses a checkpoint that knows another number of cameras.

    Raises:
        WeightsError: The numbers of cameras differ.
    """
    refuse_other_count(
        source,
        "cameras",
        len(state[key]) if key in state else 0,
        cameras,
        "features.options.cameras",
        "; features.options.camera_embedding: none leaves the cameras unused",
    )
