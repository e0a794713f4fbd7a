"""Feature networks by name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch

from pose2id.errors import ParamsError
from pose2id.extractors.base import Extractor, InputSpec

EXTRACTORS: Final = ("efficientnet_lite0", "onnx", "openvino")


def make_extractor(
    name: str,
    *,
    model: Path | None = None,
    input_spec: InputSpec | None = None,
    output: str | None = None,
    dim: int | None = None,
    device: str = "auto",
) -> Extractor:
    """Loads a feature network.

    Args:
        name: One of `EXTRACTORS`.
        model: File of the network; `efficientnet_lite0` has its own weights.
        input_spec: What the network wants; required for exported ones.
        output: Name of an exported network's output, where it has several.
        dim: Declared width of a feature, checked against the network's.
        device: `auto`, `cpu`, `cuda` or `mps`. OpenVINO networks always run on the CPU, ONNX ones
            on a CUDA device only where ONNX Runtime supports it.

    Returns:
        The network.

    Raises:
        ParamsError: The name or device is unknown, or something needed is not given.
        WeightsError: The network is missing, unreadable, or not as declared.
        MissingDependencyError: An optional package is not installed.
    """
    if name not in EXTRACTORS:
        raise ParamsError(f"there is no extractor {name!r}; choose one of {list(EXTRACTORS)}")
    torch_device = pick_device(device)
    if name == "efficientnet_lite0":
        from pose2id.extractors.efficientnet import DIM, INPUT_SPEC, EfficientNetExtractor
        from pose2id.extractors.exported import check_dim

        if output is not None:
            raise ParamsError("features.output is for exported networks; leave it out")
        extractor = EfficientNetExtractor(model, input_spec or INPUT_SPEC, torch_device)
        check_dim(Path(name), DIM, dim)
        return extractor
    if model is None or input_spec is None:
        raise ParamsError(f"the extractor {name!r} needs features.model and features.input")
    if name == "onnx":
        from pose2id.extractors.onnx import OnnxExtractor

        return OnnxExtractor(model, input_spec, output, dim, cuda=torch_device.type == "cuda")
    from pose2id.extractors.openvino import OpenVinoExtractor

    return OpenVinoExtractor(model, input_spec, output, dim)


def pick_device(name: str) -> torch.device:
    """The torch device of a name; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        ParamsError: The name is unknown or the device is not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(device for device, is_there in there.items() if is_there))
    if name not in there:
        raise ParamsError(f"runtime.device is {name!r}; auto, cpu, cuda or mps is allowed")
    if not there[name]:
        raise ParamsError(f"runtime.device is {name!r}, but this machine has none; use auto or cpu")
    return torch.device(name)
