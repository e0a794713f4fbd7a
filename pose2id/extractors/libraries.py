"""Networks of timm and torchvision with weights from a local file.

Both packages are optional: torchvision from the wrong index brings a CUDA build that does not go
with a CPU build of torch. Nothing is downloaded: `pretrained` is never asked for.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import nn

from pose2id.errors import MissingDependencyError, ParamsError
from pose2id.extractors.base import Request
from pose2id.extractors.families import LibraryOptions
from pose2id.extractors.network import TorchExtractor
from pose2id.extractors.weights import STATE_SUFFIXES, drop_keys, find_file, read_state
from pose2id.generation.state_dicts import check_state

INSTALL: Final = {
    "timm": "pip install timm (with the torchvision of your torch: "
    "https://pytorch.org/get-started/locally)",
    "torchvision": "pip install the torchvision that goes with your torch: "
    "https://pytorch.org/get-started/locally",
}
# Attributes that hold ImageNet's classifier in torchvision's networks.
_HEADS: Final = ("fc", "classifier", "head", "heads")


def load(request: Request) -> TorchExtractor:
    """Loads `timm:<name>` or `torchvision:<name>`.

    Raises:
        MissingDependencyError: The library is not installed, or does not go with this torch.
        ParamsError: It has no such network.
        WeightsError: The weights do not fit.
    """
    options: LibraryOptions = request.options
    spec = request.input_spec
    assert spec is not None  # load_extractor has checked it
    library, _, name = request.name.partition(":")
    path = find_file(request.model, STATE_SUFFIXES, "", "features.model")
    network, head = create(library, name)
    heads = [rf"{part}\." for part in head]
    given = [part.strip().replace(".", r"\.") for part in options.drop.split(",")]
    state = drop_keys(read_state(path, strip=options.strip), [*heads, *filter(None, given)])
    check_state(network, state, str(path))
    network.load_state_dict(state)
    network = network.eval().requires_grad_(False)
    return TorchExtractor.of_checkpoint(request, network, spec, (path,))


def create(library: str, name: str) -> tuple[nn.Module, tuple[str, ...]]:
    """Builds a library's network without its classifier and without weights.

    Args:
        library: `timm` or `torchvision`.
        name: The library's name of the network.

    Returns:
        The network, and the first part of the keys of its classifier.

    Raises:
        MissingDependencyError: The library is not installed, or does not go with this torch.
        ParamsError: It has no such network.
    """
    package = _import(library)
    if library == "timm":
        try:
            network: nn.Module = package.create_model(name, pretrained=False, num_classes=0)
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            raise ParamsError(
                f"timm has no network {name!r} of persons' features: {error}"
            ) from error
        config = getattr(network, "default_cfg", None) or {}
        classifier = config.get("classifier", "head")
        names = classifier if isinstance(classifier, (tuple, list)) else (classifier,)
        return network, tuple(str(part) for part in names)
    try:
        network = package.models.get_model(name, weights=None)
    except (ValueError, TypeError) as error:
        raise ParamsError(f"torchvision has no network {name!r}: {error}") from error
    head = next((part for part in _HEADS if hasattr(network, part)), None)
    if head is None:
        raise ParamsError(
            f"the classifier of torchvision's {name!r} is not at any of {', '.join(_HEADS)}; use "
            "features.extractor: torch with a function that takes it off"
        )
    setattr(network, head, nn.Identity())
    return network, (head,)


def _import(library: str) -> Any:  # noqa: ANN401 - both are untyped
    try:
        if library == "timm":
            import timm

            return timm
        import torchvision
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
        raise MissingDependencyError(
            f"features.extractor '{library}:...' needs {library} for torch {torch.__version__} "
            f"({error}): {INSTALL[library]}"
        ) from error
    return torchvision
