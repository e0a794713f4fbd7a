"""State dicts from files, and strict loading: a key is used, named as droppable, or an error."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pose2id.errors import WeightsError
from pose2id.generation.state_dicts import check_state

STATE_SUFFIXES: Final = (".safetensors", ".pth", ".pt", ".bin", ".tar", ".ckpt")
# Where training code puts the weights inside a checkpoint.
_WRAPPERS: Final = ("state_dict", "model", "model_state_dict")
_COUNTER: Final = "num_batches_tracked"  # of batch normalisation; old checkpoints lack it


def find_file(model: Path, suffixes: Iterable[str], wanted: str, option: str) -> Path:
    """A file given directly, or the one of its kind inside a folder.

    Args:
        model: The file, or a folder.
        suffixes: How the file may end.
        wanted: Its name inside the folder; `""` where it is the only one.
        option: Parameter that names it, for the message.

    Returns:
        The file.

    Raises:
        WeightsError: There is none, or several.
    """
    endings = tuple(suffixes)
    if model.is_dir():
        found = sorted(p for p in model.iterdir() if p.name.lower().endswith(endings))
        if wanted:
            found = [path for path in found if path.name == wanted]
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise WeightsError(
                f"{model} should hold one file ending in {' or '.join(endings)}"
                f"{f' named {wanted}' if wanted else ''}; found: {names}. Name it with {option}"
            )
        return found[0]
    if not model.name.lower().endswith(endings):
        raise WeightsError(
            f"features.model is {model}; a file ending in {' or '.join(endings)} is needed, or a "
            "folder that holds one"
        )
    if not model.is_file():
        raise WeightsError(f"there is no network {model}; set features.model to an existing file")
    return model


def read_state(path: Path, *, strip: str = "") -> dict[str, Tensor]:
    """Reads a state dict without running any code that the file may hold.

    Args:
        path: A safetensors file, or what `torch.save` wrote of a state dict or of a checkpoint
            with the state dict under `state_dict` or `model`.
        strip: Prefix that is taken off every key; every key must have it. `module.` of
            data-parallel training is taken off in any case.

    Returns:
        Float32 tensors (integers stay) by name.

    Raises:
        WeightsError: The file is missing, damaged, holds no state dict, or would run code.
    """
    content = _read(path)
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(
            f"{path} holds a {type(content).__name__}, no state dict: a mapping of names to "
            "tensors is needed, as `torch.save(network.state_dict(), path)` writes it"
        )
    if odd := [str(key) for key, value in content.items() if not isinstance(value, Tensor)]:
        raise WeightsError(
            f"{path} is not a plain state dict: {', '.join(sorted(odd)[:10])} "
            f"{'is' if len(odd) == 1 else 'are'} no tensors. Save network.state_dict() alone"
        )
    state = {key.removeprefix("module."): value for key, value in content.items()}
    prefix = strip.removeprefix("module.")
    if prefix:
        if others := sorted(key for key in state if not key.startswith(prefix)):
            raise WeightsError(
                f"features.options.strip is {strip!r}, but {len(others)} keys of {path} do not "
                f"begin with it, such as {', '.join(others[:5])}"
            )
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return {
        key: value.float() if value.is_floating_point() else value for key, value in state.items()
    }


def _read(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    if path.suffix.lower() == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path} is damaged or no safetensors file: {error}") from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} is no plain dict of tensors: reading it would run code that it contains, "
            f"which is refused ({str(error).splitlines()[0][:200]}). Save network.state_dict() "
            "alone"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or ["it is empty"])[0][:200]
        raise WeightsError(f"{path} is damaged or no torch file ({reason})") from error


def drop_keys(state: Mapping[str, Tensor], droppable: Iterable[str]) -> dict[str, Tensor]:
    """A state dict without what only training needs.

    Args:
        state: The weights.
        droppable: Regular expressions, each matched at the beginning of a key.

    Returns:
        The rest.

    Example:
        >>> sorted(drop_keys({"fc.weight": 1, "classifier.weight": 2}, ["classifier"]))
        ['fc.weight']
    """
    patterns = [re.compile(pattern) for pattern in droppable]
    return {key: t for key, t in state.items() if not any(p.match(key) for p in patterns)}


def build(factory: Callable[[], nn.Module], state: Mapping[str, Tensor], source: str) -> nn.Module:
    """Builds a network without storage and fills it with weights that must fit exactly.

    Args:
        factory: Makes the network.
        state: Its weights; counters of batch normalisation may be missing.
        source: Where they come from, for the message.

    Returns:
        The network in evaluation mode, without gradients.

    Raises:
        WeightsError: Keys are missing or unexpected, or shapes differ; the message names them.
    """
    with torch.device("meta"):
        network = factory()
    counters = [key for key in network.state_dict() if key.endswith(_COUNTER)]
    filled = {**{key: torch.tensor(0) for key in counters}, **state}
    check_state(network, filled, source)
    network.load_state_dict(filled, assign=True)
    return network.eval().requires_grad_(False)


def refuse_other_count(
    source: str, what: str, in_file: int, set_to: int, option: str, note: str = ""
) -> None:
    """Refuses a checkpoint whose count of something is not the declared one.

    Raises:
        WeightsError: The counts differ; the message has both and what to set.
    """
    if in_file != set_to:
        raise WeightsError(
            f"{source} was trained for {in_file} {what}, but {option} makes it {set_to}; set "
            f"{option} to what the checkpoint was trained with{note}"
        )
