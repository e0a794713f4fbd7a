"""Squared Euclidean distances that do not depend on block size, thread count or device.

A matrix product gives distances fast but with rounding that changes from block to block. So every
source of distances offers both: fast blocks with a proven error bound, and the exact distance of
chosen pairs. Ranking code compares fast values first and asks for exact ones only where two values
lie within the bound of each other; the outcome is the ranking of the exact distances.

Small sets are multiplied by numpy, large ones by torch: importing torch takes longer than all else
that a small dataset needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose2id.arrays import Array, to_numpy
from pose2id.errors import DataError
from pose2id.features import Floats, Ints, check_sides
from pose2id.machine import n_threads
from pose2id.speed import keep_freed_memory, onednn_operand

if TYPE_CHECKING:
    from torch import Tensor

Reals = NDArray[np.floating[Any]]  # float32 where computed here, float64 where given as such

_MIN_CHUNKS_FOR_THREADS = 32  # starting threads costs about as much as measuring ten chunks
_PAIRS_PER_CHUNK = 512  # keeps the float64 differences of 768-d features inside the L2 cache
_SMALL = 2048  # rows; numpy multiplies two such sets in a tenth of the time torch takes to import


def are_small(n_left: int, n_right: int) -> bool:
    """Whether distances between two sets are computed by numpy, without torch.

    >>> are_small(100, 1000), are_small(3368, 15913)
    (True, False)
    """
    return max(n_left, n_right) <= _SMALL


def pair_sq_distances(left: Floats, right: Floats, rows: Ints, columns: Ints) -> Floats:
    """Exact squared distances of chosen pairs: summed in float64, then rounded to float32.

    The value of a pair depends on its two vectors alone and is symmetric, so duplicated vectors
    tie exactly and are at distance zero.

    Args:
        left: `(N, D) float32`.
        right: `(M, D) float32`.
        rows: `(P,)` row of `left` per pair.
        columns: `(P,)` row of `right` per pair.

    Returns:
        `(P,) float32`.

    Example:
        >>> x = np.array([[0, 0], [3, 4]], dtype=np.float32)
        >>> pair_sq_distances(x, x, np.array([0, 1]), np.array([1, 1])).tolist()
        [25.0, 0.0]
    """
    out = np.empty(len(rows), dtype=np.float32)

    def measure(start: int) -> None:
        stop = start + _PAIRS_PER_CHUNK
        difference = left[rows[start:stop]].astype(np.float64)
        difference -= right[columns[start:stop]]
        np.square(difference, out=difference)
        out[start:stop] = difference.sum(axis=1)

    starts = range(0, len(rows), _PAIRS_PER_CHUNK)
    threads = n_threads()
    if threads == 1 or len(starts) < _MIN_CHUNKS_FOR_THREADS:
        for start in starts:
            measure(start)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(measure, starts))
    return out


@contextmanager
def full_float32() -> Iterator[None]:
    """Keeps torch's products in true float32, as the error bounds ask, whatever was set."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class DistanceSource(Protocol):
    """Distances between queries and gallery images, handed out in blocks of queries.

    Attributes:
        shape: (Q, G), numbers of queries and gallery images.
        tolerance: `(Q,) float32`, bound on |block value - exact value| over each query's row; 0
            where blocks are exact.
    """

    shape: tuple[int, int]
    tolerance: Floats

    def block(self, start: int, stop: int) -> Reals:
        """Distances of queries `start:stop` to the whole gallery, `(B, G)`, read-only."""
        ...

    def exact(self, queries: Ints, gallery: Ints) -> Reals:
        """Exact distances of chosen pairs, `(P,)`; queries ascending."""
        ...


class MatrixDistances:
    """Distances that are already there as a matrix `(Q, G)`; taken as exact."""

    def __init__(self, matrix: ArrayLike) -> None:
        """Wraps a distance matrix.

        Args:
            matrix: `(Q, G)`, an array or tensor; smaller is nearer. float32 and float64 are kept as
                they are and not copied, float16 and whole numbers are widened.

        Raises:
            DataError: Not a non-empty matrix of real numbers, or NaN among the distances.
        """
        given = to_numpy(matrix)
        if given.ndim != 2 or 0 in given.shape or given.dtype.kind not in "iuf":
            raise DataError(
                f"distances must be a non-empty matrix (queries, gallery) of real numbers; "
                f"received {given.dtype} of shape {given.shape}."
            )
        whole = given.dtype.kind in "iu"
        if given.dtype.itemsize > 8 or (whole and np.abs(given.astype(float)).max() > 2.0**53):
            raise DataError(
                f"distances of {given.dtype} would lose digits here; give them as float64."
            )
        keep = given.dtype in (np.float32, np.float64)
        wide = np.float32 if given.dtype == np.float16 else np.float64
        self._matrix: Reals = given if keep else given.astype(wide)
        if np.isnan(self._matrix).any():
            raise DataError("distances contain NaN; a NaN has no rank. Compute them again.")
        self.shape: tuple[int, int] = (self._matrix.shape[0], self._matrix.shape[1])
        self.tolerance: Floats = np.zeros(self.shape[0], dtype=np.float32)

    def transposed(self) -> MatrixDistances:
        """The other direction: every gallery image asks for the queries."""
        return MatrixDistances(self._matrix.T)

    def block(self, start: int, stop: int) -> Reals:
        """See `DistanceSource.block`."""
        return self._matrix[start:stop]

    def exact(self, queries: Ints, gallery: Ints) -> Reals:
        """See `DistanceSource.exact`."""
        values: Reals = self._matrix[queries, gallery]
        return values


class FeatureDistances:
    """Squared Euclidean distances between two sets of features, computed block by block."""

    def __init__(self, query: Array, gallery: Array, *, device: str = "cpu") -> None:
        """Keeps both feature sets and a packed copy of the gallery.

        Features are used as given, so normalise them first.

        Args:
            query: `(Q, D)` features.
            gallery: `(G, D)` features.
            device: Where large sets are multiplied, see `pose2id.devices.product_device`.

        Raises:
            DataError: Unusable features, or different numbers of dimensions.
            ParamsError: This machine has no such device.
        """
        self._query, self._gallery = check_sides(query, gallery)
        self.shape: tuple[int, int] = (len(self._query), len(self._gallery))
        query_norms, gallery_norms = (
            np.einsum("nd,nd->n", side, side, dtype=np.float64)
            for side in (self._query, self._gallery)
        )
        self._query_norms = query_norms
        self._small = are_small(*self.shape)
        # The worst case of a float32 sum of D products, and a few roundings around it; or of a
        # float64 sum, rounded to float32 as the exact value is.
        terms = self._query.shape[1] + 8
        scale = terms * 2.0**-50 + 2.0**-22 if self._small else terms * 2.0**-24
        self.tolerance: Floats = (scale * (query_norms + gallery_norms.max())).astype(np.float32)
        self._gallery_norms = gallery_norms
        if not self._small:
            from pose2id.devices import product_device

            keep_freed_memory()
            self._device = product_device(device)
            self._weight = self._operand(self._gallery)
            self._bias = self._operand(gallery_norms.astype(np.float32))
        self._device_name = device

    def transposed(self) -> FeatureDistances:
        """The other direction: every gallery image asks for the queries."""
        return FeatureDistances(self._gallery, self._query, device=self._device_name)

    def block(self, start: int, stop: int) -> Floats:
        """See `DistanceSource.block`."""
        if self._small:
            wide = -2 * self._query[start:stop].astype(np.float64) @ self._gallery.T
            wide += self._gallery_norms
            wide += self._query_norms[start:stop, None]
            return wide.astype(np.float32)
        import torch.nn.functional as F

        query = self._operand(-2 * self._query[start:stop])
        with full_float32():
            product = F.linear(query, self._weight, self._bias).to_dense()
        block: Floats = product.cpu().numpy()
        block += self._query_norms[start:stop, None].astype(np.float32)
        return block

    def _operand(self, array: Floats) -> Tensor:
        """An operand of the product, where and as it is computed."""
        import torch

        tensor = torch.from_numpy(array)
        return onednn_operand(tensor) if self._device.type == "cpu" else tensor.to(self._device)

    def exact(self, queries: Ints, gallery: Ints) -> Floats:
        """See `DistanceSource.exact`."""
        return pair_sq_distances(self._query, self._gallery, queries, gallery)
