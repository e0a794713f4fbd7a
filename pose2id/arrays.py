"""Arrays or tensors in, the same kind out.

The method computes on numpy arrays. Whoever holds torch tensors, on any device and with or without
gradients, hands them over as they are. Torch itself is not imported here: where nobody has imported
it yet, nobody holds a tensor.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeGuard,
    cast,
    overload,
)

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose2id.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

Array: TypeAlias = "NDArray[Any] | Tensor"
Rest = ParamSpec("Rest")


class SameKind(Protocol[Rest]):
    """A function whose result is of the kind of its first argument: an array or a tensor."""

    @overload
    def __call__(
        self, first: NDArray[Any], /, *args: Rest.args, **kwargs: Rest.kwargs
    ) -> NDArray[np.float32]: ...
    @overload
    def __call__(self, first: Tensor, /, *args: Rest.args, **kwargs: Rest.kwargs) -> Tensor: ...


def same_kind(
    function: Callable[Concatenate[NDArray[Any], Rest], NDArray[np.float32]],
) -> SameKind[Rest]:
    """Lets a function on arrays take tensors too and answer in kind.

    Args:
        function: Takes arrays, returns one.

    Returns:
        The function. Where its first argument is a tensor, the result is one on the same device,
        without gradient, `float32`. Any other argument may be an array or a tensor.

    Example:
        >>> import torch
        >>> double = same_kind(lambda x: x * np.float32(2))
        >>> double(torch.ones(2, dtype=torch.float16))
        tensor([2., 2.])
        >>> double(np.ones(2, np.float32))
        array([2., 2.], dtype=float32)
    """
    leading = next(iter(inspect.signature(function).parameters))

    @functools.wraps(function)
    def converted(*args: object, **kwargs: object) -> object:
        call = cast("Callable[..., NDArray[np.float32]]", function)
        result = call(
            *map(_without_tensor, args), **{k: _without_tensor(v) for k, v in kwargs.items()}
        )
        first = args[0] if args else kwargs.get(leading)
        if not _is_tensor(first):
            return result
        import torch

        return torch.from_numpy(np.asarray(result, np.float32)).to(first.device)

    return cast("SameKind[Rest]", converted)


def as_array(features: Array, name: str) -> NDArray[Any]:
    """An array as it is, or a tensor as an array; nothing else.

    Args:
        features: Array or tensor.
        name: What the message calls it.

    Raises:
        DataError: Neither of the two, or a tensor that `to_numpy` refuses.

    Example:
        >>> as_array([1.0], "the feature")
        Traceback (most recent call last):
        ...
        pose2id.errors.DataError: the feature must be a numpy array or a torch tensor; received a \
list. Make it one: np.asarray(...).
    """
    given: object = _without_tensor(features)
    if not isinstance(given, np.ndarray):
        raise DataError(
            f"{name} must be a numpy array or a torch tensor; received a {type(given).__name__}. "
            "Make it one: np.asarray(...)."
        )
    return given


def to_numpy(values: ArrayLike) -> NDArray[Any]:
    """The values as an array on the CPU, of the same memory where that is possible.

    Args:
        values: An array, a nested sequence, or a tensor on any device, with or without gradient.
            Float types that numpy lacks become `float32`.

    Raises:
        DataError: A sparse or quantised tensor, or one without values.

    Example:
        >>> import torch
        >>> to_numpy(torch.ones(2, dtype=torch.bfloat16, requires_grad=True))
        array([1., 1.], dtype=float32)
        >>> to_numpy([1, 2]).tolist()
        [1, 2]
    """
    return np.asarray(_without_tensor(values))


def _without_tensor(value: object) -> Any:  # noqa: ANN401 - whatever it was
    """A tensor as an array; anything else as it is."""
    if not _is_tensor(value):
        return value
    try:
        if value.is_floating_point() and not hasattr(np, str(value.dtype).rpartition(".")[2]):
            value = value.float()  # bfloat16 and the 8-bit types
        return value.numpy(force=True)
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise DataError(
            f"a tensor of layout {value.layout} and type {value.dtype} on {value.device} has no "
            "plain values; hand over a dense one (tensor.to_dense(), tensor.dequantize())."
        ) from error


def _is_tensor(value: object) -> TypeGuard[Tensor]:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
