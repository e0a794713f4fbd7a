"""PMT: a shared vision transformer for visible and infrared pictures.

Source: Lu et al., Learning Progressive Modality-shared Transformers for Effective
Visible-Infrared Person Re-identification, AAAI 2023. Parameter names are the checkpoints'.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn
from torch.nn import functional as F

from pose2id.extractors.base import IMAGENET_MEAN, IMAGENET_STD, InputSpec, Request
from pose2id.extractors.network import TorchExtractor
from pose2id.extractors.transreid import SIZES, Vit, check_patches, count_patches
from pose2id.extractors.weights import STATE_SUFFIXES, build, drop_keys, find_file, read_state

INPUT_SPEC: Final = InputSpec(256, 128, mean=IMAGENET_MEAN, std=IMAGENET_STD)
STRIDE: Final = 12


class Pmt(nn.Module):
    """Maps `(B, 3, H, W)` to `(B, 768)`: the class token after the neck, of length 1."""

    def __init__(self, n_patches: int) -> None:
        super().__init__()
        self.base = Vit(SIZES["base"], n_patches, STRIDE, eps=1e-5)
        self.bottleneck = nn.BatchNorm1d(SIZES["base"].width)

    def forward(self, images: Tensor) -> Tensor:
        """Maps pictures to features."""
        return F.normalize(self.bottleneck(self.base(images)[:, 0]))


def load(request: Request) -> TorchExtractor:
    """Loads a checkpoint of PMT.

    Raises:
        WeightsError: It does not fit: other keys or picture size.
    """
    path = find_file(request.model, STATE_SUFFIXES, "", "features.model")
    spec = request.input_spec or INPUT_SPEC
    state = drop_keys(read_state(path), [r"classifier\."])
    n_patches = count_patches(spec, STRIDE)
    check_patches(str(path), state, "base.pos_embed", n_patches, spec, STRIDE)
    network = build(lambda: Pmt(n_patches), state, str(path))
    return TorchExtractor.of_checkpoint(request, network, spec, (path,))
