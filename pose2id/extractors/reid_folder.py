"""Folders as the package `reid` saves them: `reid_config.json` and `weights.safetensors`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from torch import nn

from pose2id.errors import ParamsError, WeightsError
from pose2id.extractors.base import IMAGENET_MEAN, IMAGENET_STD, InputSpec, Request
from pose2id.extractors.libraries import create
from pose2id.extractors.network import TorchExtractor
from pose2id.extractors.osnet import HEAD, VARIANTS, Osnet
from pose2id.extractors.weights import build, drop_keys, read_state
from pose2id.generation.state_dicts import check_state

CONFIG_FILE: Final = "reid_config.json"
WEIGHTS_FILE: Final = "weights.safetensors"
# What the package does when a folder says nothing.
_DEFAULTS: Final[Mapping[str, Any]] = {
    "input_size": [256, 128],
    "mean": list(IMAGENET_MEAN),
    "std": list(IMAGENET_STD),
    "interpolation": "bilinear",
    "resize_mode": "stretch",
}


def load(request: Request) -> TorchExtractor:
    """Loads a folder that the package `reid` saved.

    Raises:
        WeightsError: A file is missing or damaged, or the weights do not fit.
        ParamsError: The folder asks for what is not known here.
    """
    config, weights = request.model / CONFIG_FILE, request.model / WEIGHTS_FILE
    for file in (config, weights):
        if not file.is_file():
            raise WeightsError(
                f"{request.model} has no {file.name}; features.model must be a folder as "
                "ReIDModel.save_pretrained of the package reid writes it"
            )
    architecture, spec = read_config(config)
    if request.input_spec not in (None, spec):
        raise ParamsError(
            f"{config} declares {spec}, features.input {request.input_spec}; leave features.input "
            "out"
        )
    network = _network(architecture, weights)
    return TorchExtractor.of_checkpoint(request, network, spec, (config, weights))


def read_config(path: Path) -> tuple[str, InputSpec]:
    """Reads the architecture and the input out of `reid_config.json`.

    Settings of video frames and padding have no effect here, and others are passed over, as the
    package does.

    Raises:
        WeightsError: It is no such file.
        ParamsError: It asks for a way of resizing that is not known here.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        architecture, given = raw["architecture"], {**_DEFAULTS, **raw.get("preprocessing", {})}
        height, width = (int(side) for side in given["input_size"])
        mean, std = (_triple(given[name]) for name in ("mean", "std"))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path} is no configuration of the package reid: {error!r}") from error
    for name, known in (("interpolation", "bilinear"), ("resize_mode", "stretch")):
        if given[name] != known:
            raise ParamsError(f"{path} has {name} {given[name]!r}; only {known!r} is known here")
    return str(architecture), InputSpec(height, width, mean=mean, std=std)


def _triple(values: Any) -> tuple[float, float, float]:  # noqa: ANN401 - from JSON
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _network(architecture: str, weights: Path) -> nn.Module:
    state = read_state(weights)
    variant = architecture.removeprefix("osnet_")
    if architecture.startswith("osnet_") and variant in VARIANTS:
        return build(lambda: Osnet(VARIANTS[variant]), drop_keys(state, HEAD), str(weights))
    library, _, name = architecture.partition(":")
    if library == "timm":
        network, _ = create(library, name)
        check_state(network, state, str(weights))
        network.load_state_dict(state)
        return network.eval().requires_grad_(False)
    raise ParamsError(
        f"the architecture {architecture!r} of {CONFIG_FILE} is not known here; osnet_* and "
        "timm:<name> are. Export the network to ONNX and use features.extractor: onnx"
    )
