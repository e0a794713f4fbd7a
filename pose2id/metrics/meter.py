"""A metric for a test loop: features are collected batch by batch and scored at its end."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose2id.arrays import to_numpy
from pose2id.choices import Protocol
from pose2id.errors import DataError
from pose2id.features import Ints, l2_normalize
from pose2id.labels import UNKNOWN, Labels
from pose2id.metrics.evaluate import Options, evaluate
from pose2id.metrics.evaluation import Evaluation


class ReidMetric:
    """Collects features of queries and gallery and scores them.

    Either the first `n_query` images are the queries, as in TransReID's and fast-reid's test loops,
    or every batch says which of its images are.

    Example:
        >>> metric = ReidMetric(n_query=1)
        >>> metric.update([[1.0, 0.0]], pids=[7], camids=[0])
        >>> metric.update([[0.9, 0.1], [0.0, 1.0]], pids=[7, 8], camids=[1, 1])
        >>> metric.compute().mAP
        1.0
    """

    def __init__(
        self,
        n_query: int | None = None,
        *,
        protocol: Protocol = "market",
        normalize: bool = True,
        **options: Unpack[Options],
    ) -> None:
        """Starts empty.

        Args:
            n_query: Number of queries, which come first; None = `update` says which images are.
            protocol: Name of the rules.
            normalize: Bring features to length 1 first.
            **options: See `evaluate`.
        """
        self._n_query, self._protocol, self._normalize = n_query, protocol, normalize
        self._options = options
        self.reset()

    def reset(self) -> None:
        """Forgets everything that was collected."""
        self._features: list[NDArray[np.float32]] = []
        self._pids: list[Ints] = []
        self._camids: list[Ints] = []
        self._is_query: list[NDArray[np.bool_]] = []

    def update(
        self,
        features: ArrayLike,
        pids: ArrayLike,
        camids: ArrayLike | None = None,
        is_query: ArrayLike | bool | None = None,
    ) -> None:
        """Takes in one batch.

        Args:
            features: `(B, D)`, an array or tensor.
            pids: `(B,)` whole numbers, -1 where unknown.
            camids: `(B,)` likewise; None = unknown.
            is_query: `(B,) bool` or one value for the batch; only without `n_query`.

        Raises:
            DataError: Labels of another length, or queries said twice or not at all.
        """
        batch = np.array(to_numpy(features), dtype=np.float32)  # a loop may reuse its memory
        labels = Labels(pids, camids)
        labels.check_length(len(batch), "batch")
        if (is_query is None) == (self._n_query is None):
            raise DataError(
                "say which images are queries once: n_query in ReidMetric(...) if they come first, "
                "or is_query in every update(...)."
            )
        flags = np.broadcast_to(to_numpy(False if is_query is None else is_query), len(batch))
        if flags.dtype != np.bool_:
            raise DataError(f"is_query must be true or false per image; received {flags.dtype}.")
        unknown = np.full(len(batch), UNKNOWN, np.int64)
        self._features.append(batch)
        self._pids.append(labels.people(len(batch)))
        self._camids.append(unknown if labels.camids is None else labels.camids)
        self._is_query.append(flags)

    def compute(self) -> Evaluation:
        """Scores what was collected so far; see `evaluate`.

        Raises:
            DataError: No query or no gallery image was collected.
        """
        n_images = sum(map(len, self._features))
        is_query = np.concatenate([np.zeros(0, np.bool_), *self._is_query])
        if self._n_query is not None:
            is_query = np.arange(n_images) < self._n_query
        n_queries = int(is_query.sum())
        if not 0 < n_queries < n_images:
            raise DataError(
                f"{n_images} images were collected, of which {n_queries} are queries; at least one "
                "query and one gallery image are needed."
            )
        features = np.concatenate(self._features)
        if self._normalize:
            features = l2_normalize(features)
        pids, camids = np.concatenate(self._pids), np.concatenate(self._camids)
        return evaluate(
            features[is_query],
            features[~is_query],
            query_labels=Labels(pids[is_query], camids[is_query]),
            gallery_labels=Labels(pids[~is_query], camids[~is_query]),
            protocol=self._protocol,
            **self._options,
        )
