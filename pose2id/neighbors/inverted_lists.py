"""Inverted lists: rows are filed under the nearest of many centres, and a search looks at few.

The centres are those of k-means on a sample, because training on all rows would take longer than
the search that it saves. Rows are compared with centres block by block, each block on one thread:
how many threads work decides nothing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from pose2id.features import Floats, Ints
from pose2id.machine import n_threads

# Lists so short that one holds few identities: a row's neighbours are then in the first visited.
_LISTS = 24  # times the square root of the number of rows
_ROWS_PER_LIST = 39  # at least, in small sets
# Rows that k-means sees. Faiss advises 39 to 256; but here the neighbours of neighbours make up for
# rough lists, and with 10 a list, or twice the rounds, recall was no better (docs/measured.md).
_SAMPLE_PER_LIST = 5
_LEAST_SAMPLE = 2**16  # fewer rows are all seen
_ROUNDS = 3
_BLOCK = 1024  # rows a product
_ROWS_PER_TASK = 16 * _BLOCK


class Centers:
    """The centres of the lists of a set of rows."""

    def __init__(self, features: Floats, dtype: torch.dtype) -> None:
        """Finds them by k-means on a sample; the same rows give the same centres.

        Args:
            features: `(N, D)`.
            dtype: In which rows and centres are multiplied.
        """
        n = len(features)
        self._dtype = dtype
        self._origin = features.mean(axis=0, dtype=np.float64).astype(np.float32)
        n_lists = max(1, min(round(_LISTS * n**0.5), n // _ROWS_PER_LIST))
        draw = np.random.default_rng(0)
        n_seen = min(n, max(n_lists * _SAMPLE_PER_LIST, _LEAST_SAMPLE))
        rows = np.sort(draw.choice(n, n_seen, replace=False))
        sample = features[rows]
        self._place(sample[draw.choice(len(sample), n_lists, replace=False)] - self._origin)
        for _ in range(_ROUNDS):
            self._place(self._means(sample, self.nearest(sample, 1)[:, 0]))

    def __len__(self) -> int:
        """Number of lists."""
        return len(self._centers)

    def nearest(self, rows: Floats, n: int) -> NDArray[np.int32]:
        """The nearest centres of each row, `(R, n)`, nearest first."""
        out = np.empty((len(rows), n), np.int32)

        def fill(first: int) -> None:
            torch.set_num_threads(1)
            product = torch.empty((_BLOCK, len(self)), dtype=self._dtype)
            scores = torch.empty((_BLOCK, len(self)))
            for start in range(first, min(first + _ROWS_PER_TASK, len(rows)), _BLOCK):
                part = torch.from_numpy(rows[start : start + _BLOCK] - self._origin)
                here = slice(0, len(part))
                torch.mm(part.to(self._dtype), self._operand, out=product[here])
                scores[here].copy_(product[here])
                if n == 1:  # numpy finds one maximum ten times as fast as torch finds the k highest
                    out[start : start + _BLOCK, 0] = scores[here].numpy().argmax(axis=1)
                else:
                    out[start : start + _BLOCK] = scores[here].topk(n, dim=1).indices.numpy()

        threads = n_threads()
        try:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(fill, range(0, len(rows), _ROWS_PER_TASK)))
        finally:
            torch.set_num_threads(threads)  # MKL has one number for all threads
        return out

    def _place(self, centers: Floats) -> None:
        # All of one length: a short centre, the mean of much that differs, would be near to all.
        lengths = np.linalg.norm(centers, axis=1, keepdims=True)
        self._centers = (centers / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        self._operand = torch.from_numpy(self._centers).to(self._dtype).T.contiguous()

    def _means(self, sample: Floats, lists: Ints | NDArray[np.int32]) -> Floats:
        """The mean row of each list; the old centre where nothing is filed."""
        order, sizes = np.argsort(lists, kind="stable"), np.bincount(lists, minlength=len(self))
        used = np.flatnonzero(sizes)
        starts = (np.cumsum(sizes) - sizes)[used]
        centers = self._centers.copy()
        sums = np.add.reduceat(sample[order], starts, axis=0)
        centers[used] = sums / sizes[used, None].astype(np.float32) - self._origin
        return centers
