"""Names of devices and precisions, as parameters spell them."""

from __future__ import annotations

from typing import get_args

import torch

from pose2id.choices import Device, Precision
from pose2id.errors import ParamsError


def resolve_device(device: Device) -> torch.device:
    """The device that a name stands for.

    Raises:
        ParamsError: The name is unknown, or this machine has no such device.
    """
    if device not in get_args(Device):
        raise ParamsError(f"device is {device!r}; allowed are {', '.join(get_args(Device))}.")
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if device == "auto":
        return torch.device(next(name for name, present in available.items() if present))
    if not available[device]:
        raise ParamsError(f"device is {device!r}, which this machine lacks; use auto or cpu.")
    return torch.device(device)


def product_device(device: str) -> torch.device:
    """Where the products of large sets of features are computed: on a CUDA card, or on the CPU.

    Args:
        device: A name as in parameters, or any of torch's. `mps` stands for the CPU: no bound on
            the error of its products is known.

    Raises:
        ParamsError: This machine has no CUDA card, and `cuda` was asked for.
    """
    if device in ("auto", "mps"):
        return torch.device("cuda" if device == "auto" and torch.cuda.is_available() else "cpu")
    return resolve_device("cuda") if device == "cuda" else torch.device(device)


def resolve_dtype(dtype: Precision) -> torch.dtype:
    """The torch type that a name stands for.

    Raises:
        ParamsError: The name is unknown.
    """
    if dtype not in get_args(Precision):
        raise ParamsError(f"dtype is {dtype!r}; allowed are {', '.join(get_args(Precision))}.")
    resolved: torch.dtype = getattr(torch, dtype)
    return resolved
