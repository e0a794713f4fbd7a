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
    TypeVar,
    cast,
    overload,
)

import numpy as np
from numpy.typing import NDArray

from pose2id.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

Array: TypeAlias = "NDArray[Any] | Tensor"
Out = TypeVar("Out")
P = ParamSpec("P")
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
        result = call(*map(to_array, args), **{k: to_array(v) for k, v in kwargs.items()})
        first = args[0] if args else kwargs.get(leading)
        if not _is_tensor(first):
            return result
        import torch

        return torch.from_numpy(np.asarray(result, np.float32)).to(first.device)

    return cast("SameKind[Rest]", converted)


def takes_tensors(function: Callable[P, Out]) -> Callable[P, Out]:
    """Lets a function on arrays take tensors too; its result stays what it is.

    Example:
        >>> import torch
        >>> takes_tensors(np.sum)(torch.ones(3, requires_grad=True))
        np.float32(3.0)
    """

    @functools.wraps(function)
    def converted(*args: P.args, **kwargs: P.kwargs) -> Out:
        call = cast("Callable[..., Out]", function)
        return call(*map(to_array, args), **{k: to_array(v) for k, v in kwargs.items()})

    return converted


def to_array(value: object) -> object:
    """A tensor as an array on the CPU; anything else as it is.

    The array shares the tensor's memory where it can. Types that numpy lacks become `float32`.

    Raises:
        DataError: A sparse or quantised tensor, or one without values.
    """
    if not _is_tensor(value):
        return value
    try:
        if value.is_floating_point() and not hasattr(np, str(value.dtype).rpartition(".")[2]):
            value = value.float()  # bfloat16 and the 8-bit types
        array: NDArray[Any] = value.numpy(force=True)
        return array
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise DataError(
            f"a tensor of layout {value.layout} and type {value.dtype} on {value.device} has no "
            "plain values; hand over a dense one (tensor.to_dense(), tensor.dequantize())."
        ) from error


def _is_tensor(value: object) -> TypeGuard[Tensor]:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
