"""State dicts as values: whether they fit a module, and what they hash to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pose2id.errors import WeightsError
from pose2id.pointers import pointer_at


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        WeightsError: It cannot be read, is damaged, or only stands for the file.
    """
    if pointer := pointer_at(path):
        raise WeightsError(f"{path} {pointer}.")
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise WeightsError(
            f"{path} is damaged or truncated ({error}). Fetch, copy, convert or train it again."
        ) from error


def check_state(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Refuses weights that do not fit a module exactly.

    Args:
        module: The module to be filled; it needs no storage.
        state: The weights.
        source: Where they come from, for the message.

    Raises:
        WeightsError: Keys are missing or unexpected, or shapes differ; the message names them.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    problems = [
        f"{label} {_listing(names)}"
        for label, names in (
            ("missing keys", sorted(expected.keys() - state.keys())),
            ("unexpected keys", sorted(state.keys() - expected.keys())),
            (
                "wrong shapes",
                [
                    f"{name} {tuple(state[name].shape)} instead of {shape}"
                    for name, shape in expected.items()
                    if name in state and tuple(state[name].shape) != shape
                ],
            ),
        )
        if names
    ]
    if problems:
        raise WeightsError(
            f"the weights of {source} do not fit the model: {'; '.join(problems)}. Check that the "
            "file belongs to this part and that the configuration states its sizes."
        )


def _listing(names: list[str], limit: int = 10) -> str:
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + rest


def digest_of(state: Mapping[str, Tensor]) -> str:
    """Hex sha256 of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
