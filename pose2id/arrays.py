"""Numpy arrays out of whatever holds numbers: arrays, lists, and tensors of any device."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def to_numpy(values: ArrayLike) -> NDArray[Any]:
    """The values as an array; a tensor is detached and brought to the processor first.

    Args:
        values: An array, a nested sequence, or a torch tensor with or without gradient. bfloat16,
            which numpy does not have, becomes float32.

    Returns:
        The same memory where that is possible.

    Example:
        >>> to_numpy([1, 2]).tolist()
        [1, 2]
    """
    tensor: Any = values
    if hasattr(tensor, "detach") and hasattr(tensor, "cpu"):  # torch need not be imported to ask
        tensor = tensor.detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":
            tensor = tensor.float()
        values = tensor.numpy()
    return np.asarray(values)
