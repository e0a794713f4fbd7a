"""PersonViT: a vision transformer pre-trained on persons without labels, then fine-tuned.

Source: Hu et al., PersonViT: Large-scale Self-supervised Vision Transformer for Person
Re-Identification, 2024. Parameter names are the checkpoints'.
"""

from __future__ import annotations

from torch import Tensor, nn

from pose2id.errors import WeightsError
from pose2id.extractors.base import Request
from pose2id.extractors.families import PersonVitOptions
from pose2id.extractors.network import TorchExtractor
from pose2id.extractors.transreid import (
    INPUT_SPEC,
    SIZES,
    Vit,
    VitSize,
    check_patches,
    count_patches,
)
from pose2id.extractors.weights import STATE_SUFFIXES, build, drop_keys, find_file, read_state


class PersonVit(nn.Module):
    """Maps `(B, 3, H, W)` to `(B, width)`: the class token before the neck."""

    def __init__(self, size: VitSize, n_patches: int, stride: int) -> None:
        super().__init__()
        self.base = Vit(size, n_patches, stride)

    def forward(self, images: Tensor) -> Tensor:
        """Maps pictures to features."""
        tokens: Tensor = self.base(images)
        return tokens[:, 0]


def load(request: Request) -> TorchExtractor:
    """Loads a fine-tuned checkpoint of PersonViT, without convolutional stem.

    Raises:
        WeightsError: It does not fit: other keys or picture size, or only pre-trained.
    """
    options: PersonVitOptions = request.options
    path = find_file(request.model, STATE_SUFFIXES, "", "features.model")
    spec = request.input_spec or INPUT_SPEC
    state = drop_keys(read_state(path), [r"classifier\.", r"bottleneck\.", r"base\.fc\."])
    if any(key.startswith("base.patch_embed.conv.") for key in state):
        raise WeightsError(
            f"{path} has a convolutional stem (base.patch_embed.conv), which this loader does not "
            "know; export the network to ONNX and use features.extractor: onnx"
        )
    n_patches = count_patches(spec, options.stride)
    check_patches(str(path), state, "base.pos_embed", n_patches, spec, options.stride)
    size = SIZES[options.size]
    network = build(lambda: PersonVit(size, n_patches, options.stride), state, str(path))
    return TorchExtractor.of_checkpoint(request, network, spec, (path,))
