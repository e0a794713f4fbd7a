"""Feature matrices: checked, and brought to length one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pose2id.arrays import Array, as_array, same_kind
from pose2id.errors import DataError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_ROWS_PER_CHUNK = 4096
_UNIT_ERROR = 2.0**-23  # a float32 row of norm 1 is off by less


def check_features(features: Array, name: str) -> Floats:
    """Checks a feature matrix and returns it as contiguous float32.

    Args:
        features: `(N, D)`, array or tensor of any float type.
        name: What the message calls the matrix.

    Returns:
        `(N, D) float32`, C-contiguous; the same memory where it already was.

    Raises:
        DataError: Not two-dimensional, empty, or with NaN, infinite or overflowing values.
    """
    given = as_array(features, name)
    _check_shape(given, name)
    with np.errstate(over="ignore"):
        matrix = np.ascontiguousarray(given, dtype=np.float32)
        # A row's sum of squares is finite exactly where each value is finite and none is gigantic.
        squares = np.einsum("nd,nd->n", matrix, matrix)
    _check_finite(squares, name)
    return matrix


def check_sides(query: Array, gallery: Array) -> tuple[Floats, Floats]:
    """Checks query and gallery features, which must have the same number of dimensions.

    Raises:
        DataError: Unusable features, or different numbers of dimensions.
    """
    left = check_features(query, "query features")
    right = check_features(gallery, "gallery features")
    if left.shape[1] != right.shape[1]:
        raise DataError(
            f"query features have {left.shape[1]} dimensions but gallery features "
            f"{right.shape[1]}; extract both with the same network."
        )
    return left, right


@same_kind
def l2_normalize(features: NDArray[np.floating]) -> Floats:
    """Divides each row by its Euclidean norm.

    Computed in float64 whatever the input's type and rounded once. A float32 row that has norm 1 to
    within its own rounding stays as it is, so that doing it twice is doing it once.

    Args:
        features: `(N, D)`.

    Returns:
        `(N, D) float32`, rows of norm 1.

    Raises:
        DataError: Unusable features or a row of zeros, which has no direction.

    Example:
        >>> l2_normalize(np.array([[3.0, 4.0]])).tolist()
        [[0.6000000238418579, 0.800000011920929]]
    """
    matrix = as_array(features, "features")
    _check_shape(matrix, "features")
    out = np.empty(matrix.shape, np.float32)
    zero_rows: list[int] = []
    for start in range(0, len(matrix), _ROWS_PER_CHUNK):  # float64 for some rows at a time
        chunk = matrix[start : start + _ROWS_PER_CHUNK]
        rows = chunk.astype(np.float64)
        largest = np.abs(rows).max(axis=1, keepdims=True)
        _check_finite(largest[:, 0], "features", start, len(matrix))
        zero_rows += (start + np.flatnonzero(largest[:, 0] == 0)).tolist()
        scaled = rows / np.where(largest > 0, largest, 1)  # squares neither vanish nor overflow
        norms = largest * np.sqrt(np.einsum("nd,nd->n", scaled, scaled))[:, None]
        unit = np.abs(norms - 1) <= (_UNIT_ERROR if matrix.dtype == np.float32 else -1)
        out[start : start + _ROWS_PER_CHUNK] = np.where(
            unit, rows, rows / np.where(norms > 0, norms, 1)
        )
    if zero_rows:
        raise DataError(
            f"{len(zero_rows)} of {len(matrix)} features are all zeros (first row: "
            f"{zero_rows[0]}); they have no direction to compare. Extract them again or drop the "
            "images."
        )
    return out


def _check_shape(matrix: NDArray[Any], name: str) -> None:
    if matrix.ndim != 2 or 0 in matrix.shape or not np.issubdtype(matrix.dtype, np.number):
        raise DataError(
            f"{name} must be a matrix of numbers (images, dimensions) with at least one row; "
            f"received {matrix.dtype} of shape {matrix.shape}."
        )


def _check_finite(
    size_of_rows: NDArray[np.floating], name: str, start: int = 0, n_rows: int | None = None
) -> None:
    bad = np.flatnonzero(~np.isfinite(size_of_rows))
    if bad.size:
        raise DataError(
            f"{name} has {bad.size} of {n_rows or len(size_of_rows)} rows with NaN, infinite or "
            f"overflowing values (first row: {start + bad[0]}). Extract these features again or "
            "drop the rows."
        )
