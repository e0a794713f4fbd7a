"""Training checkpoints: one file, replaced atomically, holding plain tensors and numbers only."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pose2id.errors import WeightsError

_KEYS = {"step", "recipe", "model", "ema", "optimizer"}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything a run needs to go on as if it had never stopped.

    Attributes:
        step: Steps done.
        recipe: Fingerprint of the settings that decide the loss curve.
        model: Current weights.
        ema: Exponential moving average of the weights.
        optimizer: The optimizer's state dict.
    """

    step: int
    recipe: str
    model: dict[str, Tensor]
    ema: dict[str, Tensor]
    optimizer: dict[str, Any]


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint next to `path` and renames it: a kill leaves the old file or the new one.

    Args:
        path: The checkpoint's file; its folder must exist.
        checkpoint: What to write.
    """
    temporary = path.with_suffix(".tmp")
    content = {
        "step": checkpoint.step,
        "recipe": checkpoint.recipe,
        "model": checkpoint.model,
        "ema": checkpoint.ema,
        "optimizer": checkpoint.optimizer,
    }
    with temporary.open("wb") as stream:
        torch.save(content, stream)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def load(path: Path) -> Checkpoint:
    """Reads a checkpoint without running any code that it may contain.

    Args:
        path: The checkpoint's file.

    Returns:
        The checkpoint, on the CPU.

    Raises:
        WeightsError: The file is truncated, is not a checkpoint, or holds more than tensors.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"{path} is not a readable training checkpoint ({error}). Delete it to start over."
        ) from error
    if not isinstance(content, dict) or set(content) != _KEYS:
        raise WeightsError(
            f"{path} lacks the entries {sorted(_KEYS)} of a training checkpoint. "
            "Delete it to start over."
        )
    return Checkpoint(**content)
