"""Labels of query and gallery: who matches whom, and which pairs the protocol leaves out."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pose2id.errors import DataError
from pose2id.features import Ints

UNKNOWN = -1


class Labels:
    """Identities and cameras of both sides.

    Attributes:
        query_pids: `(Q,) int64`, -1 = unknown: such a query has no positives.
        gallery_pids: `(G,) int64`, -1 = matches nobody: unknown identity or distractor.
        query_camids: `(Q,) int64`, -1 = unknown camera.
        gallery_camids: `(G,) int64`, -1 = unknown camera.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        query_pids: ArrayLike | None,
        gallery_pids: ArrayLike | None,
        query_camids: ArrayLike | None,
        gallery_camids: ArrayLike | None,
        distractors: ArrayLike | None,
    ) -> None:
        """Checks labels and brings them to one form; see `evaluate` for what each may be.

        Raises:
            DataError: A label array has the wrong length or is not of whole numbers.
        """
        n_queries, n_gallery = shape
        self.query_pids = _column(query_pids, n_queries, "query_pids")
        self.gallery_pids = _column(gallery_pids, n_gallery, "gallery_pids")
        self.query_camids = _column(query_camids, n_queries, "query_camids")
        self.gallery_camids = _column(gallery_camids, n_gallery, "gallery_camids")
        if distractors is not None:
            mask = np.asarray(distractors)
            if mask.shape != (n_gallery,) or mask.dtype != np.bool_:
                raise DataError(
                    f"distractors must be a mask of {n_gallery} booleans, one per gallery image; "
                    f"received {mask.dtype} of shape {mask.shape}."
                )
            self.gallery_pids[mask] = UNKNOWN
        self._by_pid = np.argsort(self.gallery_pids, kind="stable")
        ordered = self.gallery_pids[self._by_pid]
        self._first = np.searchsorted(ordered, self.query_pids, side="left")
        self._last = np.searchsorted(ordered, self.query_pids, side="right")

    def same_person(self) -> tuple[list[Ints], list[Ints]]:
        """Positives and junk of every query, each `(P,)` gallery indices ascending.

        Junk has the query's identity and its camera, both cameras known; no metric counts it.
        """
        matches, left_out = [], []
        for query, (pid, camid) in enumerate(zip(self.query_pids, self.query_camids, strict=True)):
            last = self._first[query] if pid == UNKNOWN else self._last[query]
            same = self._by_pid[self._first[query] : last]
            junk = (self.gallery_camids[same] == camid) & (camid != UNKNOWN)
            matches.append(same[~junk])
            left_out.append(same[junk])
        return matches, left_out

    def describe(self, query: int, gallery: Ints) -> tuple[np.ndarray, np.ndarray]:
        """Which of some gallery images are matches and which are junk, each `(P,) bool`."""
        pid, camid = self.query_pids[query], self.query_camids[query]
        same = (self.gallery_pids[gallery] == pid) & (pid != UNKNOWN)
        junk = same & (self.gallery_camids[gallery] == camid) & (camid != UNKNOWN)
        return same & ~junk, junk


def _column(values: ArrayLike | None, length: int, name: str) -> Ints:
    if values is None:
        return np.full(length, UNKNOWN, dtype=np.int64)
    column = np.asarray(values)
    if column.shape != (length,) or not np.issubdtype(column.dtype, np.integer):
        raise DataError(
            f"{name} must be {length} whole numbers (-1 where unknown) or None; received "
            f"{column.dtype} of shape {column.shape}."
        )
    return column.astype(np.int64)
