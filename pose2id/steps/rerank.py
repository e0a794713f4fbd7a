"""Step `rerank`, at scoring: k-reciprocal re-ranking with sparse rows.

k-reciprocal re-ranking mixes the distance of two images with how little their sets of reciprocal
neighbours overlap. Each set has a few dozen members, so all of it fits in sparse matrices built
from a neighbour table: memory grows with N * k, not N^2.

Source: Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017,
arXiv 1701.08398.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from pose2id.arrays import Array
from pose2id.choices import RerankPrecision
from pose2id.errors import DataError, ParamsError
from pose2id.features import Floats, Ints, check_sides
from pose2id.steps.base import FORBID_UNKNOWN, MAX_K, ScoringStep, check_range, possible_k

if TYPE_CHECKING:
    from scipy import sparse

    from pose2id.distances import FeatureDistances
    from pose2id.neighbors import NeighborTable

_ROWS_PER_BLOCK = 4096


@dataclass(frozen=True)
class RerankParams:
    """Parameters of `rerank`.

    Attributes:
        k1: Size of the reciprocal neighbourhood.
        k2: Images averaged in the local expansion, the image itself included; 1 = none.
        lambda_value: Share of the original distance, 0 to 1.
    """

    k1: int = 20
    k2: int = 6
    lambda_value: float = 0.3

    __pydantic_config__: ClassVar = FORBID_UNKNOWN

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_range("rerank", "k1", self.k1, 1, MAX_K)
        check_range("rerank", "k2", self.k2, 1, MAX_K)
        check_range("rerank", "lambda_value", self.lambda_value, 0, 1)


class ReciprocalDistances:
    """Re-ranked distances as a `DistanceSource`: (1 - lambda) * Jaccard + lambda * scaled distance.

    The distance of a query is scaled by its largest distance to any image of both sets. Jaccard
    distances are kept as sparse rows, since most images share no neighbour with a query.
    """

    def __init__(
        self,
        original: FeatureDistances,
        gains: sparse.csr_array,
        disjoint: float,
        scale: Floats,
    ) -> None:
        """Keeps what blocks are computed from.

        Args:
            original: Distances before re-ranking, (Q, G).
            gains: `(Q, G)` how much nearer shared neighbours bring a pair.
            disjoint: The Jaccard term of a pair without any shared neighbour.
            scale: `(Q,)` factor of the original distances.
        """
        self.shape = original.shape
        self.tolerance = scale * original.tolerance + np.float32(2.0**-21)
        self._original, self._gains, self._apart, self._scale = original, gains, disjoint, scale

    def block(self, start: int, stop: int) -> Floats:
        """See `DistanceSource.block`."""
        block = self._original.block(start, stop)
        block *= self._scale[start:stop, None]
        block += np.float32(self._apart)
        part = self._gains[start:stop]
        rows = np.repeat(np.arange(len(block)), np.diff(part.indptr))
        block[rows, part.indices] -= part.data
        np.maximum(block, 0, out=block)  # rounding left some coinciding images at -6e-8
        return block

    def exact(self, queries: Ints, gallery: Ints) -> Floats:
        """See `DistanceSource.exact`."""
        if not len(queries):  # scipy looks up no empty set of pairs
            return np.empty(0, np.float32)
        scaled = self._original.exact(queries, gallery).astype(np.float64) * self._scale[queries]
        gains = np.asarray(self._gains[queries, gallery], dtype=np.float64)
        mixed: Floats = np.maximum(self._apart - gains + scaled, 0).astype(np.float32)
        return mixed


def k_reciprocal(
    query: Array,
    gallery: Array,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    *,
    precision: RerankPrecision = "float32",
    neighbors: NeighborTable | None = None,
    memory_mib: int = 256,
    device: str = "cpu",
) -> ReciprocalDistances:
    """k-reciprocal re-ranking of a gallery for each query.

    Features are used as given. The paper's defaults are 20 / 6 / 0.3; TransReID and the Pose2ID
    demo use 50 / 15 / 0.3. Where images coincide, an image counts itself before its duplicates.

    Args:
        query: `(Q, D)` features.
        gallery: `(G, D)` features.
        k1: Size of the reciprocal neighbourhood.
        k2: Images averaged in the local expansion, the image itself included; 1 = none.
        lambda_value: Share of the original distance, 0 to 1.
        precision: `float16` repeats the roundings of the published code, which keeps weights and
            sums in half precision and is off by some 1e-3; for comparison with its numbers.
        neighbors: Exact table of query and gallery joined in this order, with k >= max(k1, k2 - 1)
            and `farthest_sq`; None computes it.
        memory_mib: Bound on the working memory of the neighbour search.
        device: Where the neighbour search and the distances are computed: `cpu`, `cuda`, or `auto`
            for a CUDA card where there is one. The result is the same on every device.

    Returns:
        A distance source for `evaluate`.

    Raises:
        DataError: Unusable features, too few images for k1 and k2, or an unfit table.
        ParamsError: k1, k2 or lambda out of range.

    Source: Zhong et al., CVPR 2017, arXiv 1701.08398.

    Example:
        >>> query, gallery = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0], [0.8, 0.6]])
        >>> print(k_reciprocal(query, gallery, k1=1, k2=1).block(0, 1).round(2))
        [[1.   0.27]]
    """
    from pose2id.distances import FeatureDistances
    from pose2id.neighbors import nearest_neighbors

    if k1 < 1 or k2 < 1 or not 0 <= lambda_value <= 1:
        raise ParamsError(
            f"k1 is {k1}, k2 is {k2} and lambda is {lambda_value}; allowed: k1 and k2 at least 1, "
            "lambda between 0 and 1."
        )
    if precision not in ("float32", "float16"):
        raise ParamsError(f"precision is {precision!r}; allowed: float32, float16.")
    sides = check_sides(query, gallery)
    joined = np.concatenate(sides)
    k = max(k1, k2 - 1)
    table = neighbors or nearest_neighbors(
        joined, k, memory_mib=memory_mib, device=device, farthest=True
    )
    if len(table) != len(joined) or table.k < k or table.farthest_sq is None:
        raise DataError(
            f"re-ranking needs an exact table of all {len(joined)} images with k >= {k} and the "
            f"farthest distances; received {len(table)} rows with k = {table.k}."
        )
    # Where all images coincide there is nothing to scale: every distance is zero.
    farthest = np.where(table.farthest_sq > 0, table.farthest_sq, 1).astype(np.float32)
    encoding = _encode(joined, table.ids, farthest, k1)
    del joined
    _round(encoding, precision)
    if k2 > 1:
        encoding = (_membership(table.ids, k2 - 1) @ encoding).tocsr()
        encoding.data /= np.float32(k2)
        encoding.sort_indices()
        _round(encoding, precision)
    kind = np.float16 if precision == "float16" else np.float64
    disjoint = float(kind(1 - lambda_value))
    gains = _gains(encoding, len(query), lambda_value, disjoint, kind)
    scale = (lambda_value / farthest[: len(query)]).astype(np.float32)
    return ReciprocalDistances(FeatureDistances(*sides, device=device), gains, disjoint, scale)


def _round(encoding: sparse.csr_array, precision: RerankPrecision) -> None:
    if precision == "float16":
        encoding.data = encoding.data.astype(np.float16).astype(np.float32)


def _membership(ids: Ints, k: int) -> sparse.csr_array:
    """`(N, N)` matrix of ones where column j is row i itself or one of its k nearest.

    Columns are stored nearest first, which fixes the order in which products with it sum up.
    """
    from scipy import sparse

    n = len(ids)
    columns = np.concatenate([np.arange(n)[:, None], ids[:, :k]], axis=1)
    starts = np.arange(0, n * (k + 1) + 1, k + 1)
    ones = np.ones(columns.size, dtype=np.float32)
    return sparse.csr_array((ones, columns.ravel(), starts), shape=(n, n))


def _reciprocal(ids: Ints, k: int) -> sparse.csr_array:
    """Ones where two images are each among the other's k nearest (or the same image)."""
    forward = _membership(ids, k)
    return forward.multiply(forward.T.tocsr()).tocsr()


def _encode(features: Floats, ids: Ints, farthest_sq: Floats, k1: int) -> sparse.csr_array:
    """Rows of weights over each image's expanded reciprocal set, each summing to 1."""
    from scipy import sparse

    from pose2id.distances import pair_sq_distances

    wide = _reciprocal(ids, k1)
    half = _reciprocal(ids, int(np.around(k1 / 2)))
    half_sizes = np.diff(half.indptr)
    blocks = []
    for start in range(0, len(features), _ROWS_PER_BLOCK):
        near = wide[start : start + _ROWS_PER_BLOCK]
        # A neighbour's own half-size set joins if more than two thirds of it are here already.
        shared = (near @ half).multiply(near).tocsr()
        accepted = shared.data > (2 / 3) * half_sizes[shared.indices]
        joins = sparse.csr_array(
            (accepted.astype(np.float32), shared.indices, shared.indptr), shape=shared.shape
        )
        joins.eliminate_zeros()
        members = (near + joins @ half).tocsr()
        members.sort_indices()
        rows = start + np.repeat(np.arange(near.shape[0]), np.diff(members.indptr))
        exact = pair_sq_distances(features, features, rows, members.indices)
        members.data = np.exp(-exact / farthest_sq[rows])
        # Summed row by row in float32, since half precision turns a last bit into 1e-4.
        totals = [part.sum() for part in np.split(members.data, members.indptr[1:-1])]
        members.data /= np.repeat(np.array(totals), np.diff(members.indptr))
        blocks.append(members)
    return sparse.vstack(blocks, format="csr")


def _gains(
    encoding: sparse.csr_array,
    n_queries: int,
    lambda_value: float,
    disjoint: float,
    kind: type[np.floating],
) -> sparse.csr_array:
    """How much nearer the Jaccard term is than `disjoint`, for pairs that share a neighbour.

    The Jaccard similarity of two weight rows is the sum of their minima over the sum of their
    maxima; rows sum to 1, so the latter is 2 - the former.
    """
    from scipy import sparse

    queries = encoding[:n_queries]
    holders = encoding[n_queries:].tocsc()  # column -> gallery images that contain it
    n_gallery = holders.shape[0]
    columns, values, ends = [], [], [0]
    for query in range(n_queries):
        own = slice(queries.indptr[query], queries.indptr[query + 1])
        first = holders.indptr[queries.indices[own]].astype(np.int64)
        counts = holders.indptr[queries.indices[own] + 1] - first
        offsets = counts.cumsum() - counts
        entries = np.arange(counts.sum()) + np.repeat(first - offsets, counts)
        minima = np.minimum(holders.data[entries], np.repeat(queries.data[own], counts))
        images = holders.indices[entries]
        shared: NDArray[np.floating]
        if kind is np.float16:  # every sum is rounded, in the order of the columns
            shared = np.zeros(n_gallery, np.float16)
            for start, count in zip(offsets, counts, strict=True):
                part = slice(start, start + count)
                shared[images[part]] += minima[part].astype(np.float16)
        else:
            shared = np.bincount(images, minima, n_gallery).astype(np.float64)
        gallery = shared.nonzero()[0]
        jaccard = 1 - shared[gallery] / (2 - shared[gallery])
        columns.append(gallery.astype(np.int32))
        values.append((disjoint - (jaccard * (1 - lambda_value)).astype(np.float64)).astype("f4"))
        ends.append(ends[-1] + len(gallery))
    return sparse.csr_array(
        (np.concatenate(values), np.concatenate(columns), np.array(ends)),
        shape=(n_queries, n_gallery),
    )


def _distances(
    query: Floats, gallery: Floats, params: RerankParams, device: str
) -> tuple[ReciprocalDistances, tuple[str, ...]]:
    n_others = len(query) + len(gallery) - 1
    k1, notes = possible_k("rerank", "k1", params.k1, n_others)
    k2, more = possible_k("rerank", "k2", params.k2, n_others)
    distances = k_reciprocal(query, gallery, k1, k2, params.lambda_value, device=device)
    return distances, (*notes, *more)


STEP = ScoringStep(
    name="rerank",
    words="then k-reciprocal re-ranking",
    source="Zhong et al., CVPR 2017, arXiv 1701.08398",
    params=RerankParams,
    distances=_distances,
)
