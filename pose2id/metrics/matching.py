"""Who matches whom, and which gallery images a query may not see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pose2id.errors import DataError
from pose2id.features import Ints
from pose2id.labels import UNKNOWN, Column, Labels, joint_codes
from pose2id.protocols import COLUMNS, Unseen

SYSU_INFRARED = (3, 6)  # cameras, numbered from 1
_BOTH_KNOWN_AND_EQUAL: tuple[Unseen, ...] = ("camera", "tracklet")


class Matching:
    """Matches and unseen images of every query, by the rules of a protocol.

    Attributes:
        query_people: `(Q,) int64`, -1 = unknown: such a query has no positives.
        gallery_people: `(G,) int64`, -1 = matches nobody: unknown identity or distractor.
    """

    def __init__(
        self, query: Labels, gallery: Labels, shape: tuple[int, int], unseen: tuple[Unseen, ...]
    ) -> None:
        """Binds rules to the labels of both sides.

        Args:
            query: Labels of the queries.
            gallery: Labels of the gallery.
            shape: (Q, G).
            unseen: Rules. A rule whose column is unknown on one side leaves nothing out.

        Raises:
            DataError: Labels of another length, or with which a rule can not be applied.
        """
        query.check_length(shape[0], "query")
        gallery.check_length(shape[1], "gallery")
        self.query_people = query.people(shape[0])
        self.gallery_people = gallery.people(shape[1])
        self._people = _Lookup(self.query_people, self.gallery_people)
        self._of_person: list[tuple[Unseen, Ints, Ints]] = []
        self._of_anyone: list[_Lookup] = []
        for rule in unseen:
            columns = _both(query, gallery, COLUMNS[rule])
            if columns is None:
                continue
            if rule == "sysu_place":
                self._of_anyone.append(_sysu_place(*columns))
            elif rule == "group":
                self._of_anyone.append(_Lookup(*columns))
            else:
                self._of_person.append((rule, *columns))
        own = _both(query, gallery, "image_ids")
        if own is not None and np.isin(own[0], own[1]).any():  # no image finds itself
            self._of_anyone.append(_Lookup(*own))

    @property
    def hides_strangers(self) -> bool:
        """Whether unseen images may be of other people than the query, and so be many."""
        return bool(self._of_anyone)

    def of(self, query: int) -> tuple[Ints, Ints]:
        """Positives of a query and the images that it may not see, `(P,)` and `(U,)` indices."""
        same = self._people.rows(query)
        hidden = np.zeros(len(same), np.bool_)
        for rule, of_query, of_gallery in self._of_person:
            hidden |= _hides(rule, of_query[query], of_gallery[same])
        positives, unseen = same[~hidden], same[hidden]
        for lookup in self._of_anyone:
            rows = lookup.rows(query)
            if rows.size:
                unseen = np.union1d(unseen, rows)
                positives = np.setdiff1d(positives, rows, assume_unique=True)
        return positives, unseen

    def n_same_person(self) -> int:
        """Number of pairs of one person before any rule."""
        return self._people.n_pairs


class _Lookup:
    """Gallery rows with a query's value in one column; none where it is unknown."""

    def __init__(self, query: Ints, gallery: Ints) -> None:
        self._order = np.argsort(gallery, kind="stable")
        ordered = gallery[self._order]
        self._first = np.searchsorted(ordered, query, side="left")
        self._last = np.searchsorted(ordered, query, side="right")
        self._last[query == UNKNOWN] = self._first[query == UNKNOWN]
        self.n_pairs = int((self._last - self._first).sum())

    def rows(self, query: int) -> Ints:
        rows: Ints = self._order[self._first[query] : self._last[query]]
        return rows


def _both(query: Labels, gallery: Labels, name: str) -> tuple[Ints, Ints] | None:
    of_query: Column | None = getattr(query, name)
    of_gallery: Column | None = getattr(gallery, name)
    if of_query is None or of_gallery is None:
        return None
    return joint_codes(of_query, of_gallery, name)


def _hides(rule: Unseen, of_query: np.int64, of_gallery: Ints) -> NDArray[np.bool_]:
    """Which images of the query's person a rule hides, `(P,) bool`."""
    equal: NDArray[np.bool_] = of_gallery == of_query
    if rule in _BOTH_KNOWN_AND_EQUAL:
        return equal if of_query != UNKNOWN else np.zeros_like(equal)
    if of_query == UNKNOWN:
        return np.ones_like(equal)
    unknown: NDArray[np.bool_] = of_gallery == UNKNOWN
    return unknown | (equal if rule == "same_clothes" else ~equal)


def first_sysu_camera(query_camids: Ints) -> int:
    """Number of the first camera of SYSU-MM01, 0 or 1, which its infrared queries give away.

    Raises:
        DataError: Cameras that no infrared query has under either numbering.
    """
    cameras = set(query_camids.tolist())
    for first in (0, 1):
        if cameras <= {camera - 1 + first for camera in SYSU_INFRARED}:
            return first
    raise DataError(
        "SYSU-MM01's queries are of its infrared cameras 3 and 6 (2 and 5 where cameras are "
        f"numbered from 0); received {sorted(cameras)[:10]}. Exchange query and gallery, or "
        "choose another protocol."
    )


def _sysu_place(query_camids: Ints, gallery_camids: Ints) -> _Lookup:
    first = first_sysu_camera(query_camids)
    place = np.where(query_camids == 2 + first, 1 + first, UNKNOWN)  # camera 3 and camera 2
    return _Lookup(place, np.where(gallery_camids == 1 + first, gallery_camids, UNKNOWN))
