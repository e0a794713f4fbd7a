"""Labels that the features contradict: images of another person, ids that are one person or two.

All three checks rest on mutual nearest neighbours: image j is among the k nearest of i, and i among
those of j. Neighbours of an image's own camera are left out where cameras are known, as evaluation
does: they show the same minute and the same background, whoever it is.

The check of single images is confident learning (Northcutt, Jiang and Chuang, "Confident Learning:
Estimating Uncertainty in Dataset Labels", JAIR 2021) with the votes of the neighbours as the
out-of-sample probabilities of the ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose2id.choices import Search
from pose2id.errors import DataError, ParamsError
from pose2id.features import Floats, Ints, l2_normalize
from pose2id.neighbors import nearest_neighbors

NOBODY = -1
_OTHERS = 4096  # ids at most that an id is compared with: of more, an even sample
_FAR = 0.05  # of the other ids are nearer to either part of an id's images than its other part is


@dataclass(frozen=True, slots=True)
class WrongPerson:
    """An image whose neighbours say another id.

    Attributes:
        row: The image.
        pid: Its id.
        other_pid: The id that its neighbours say.
        other_row: Its nearest image of that id.
        score: Votes for the other id less those for its own, of all k; above 0, at most 1.
    """

    row: int
    pid: int
    other_pid: int
    other_row: int
    score: float


@dataclass(frozen=True, slots=True)
class SamePerson:
    """Two ids whose images are each other's mutual neighbours.

    Attributes:
        pid: The id with fewer images.
        other_pid: The other one.
        rows: The images of `pid`, ascending.
        other_row: The image of `other_pid` that most of them are mutual neighbours of.
        score: Twice the geometric mean of the shares of votes that each gives to the other, at
            most 1; an even share between two ids of one person gives 1.
    """

    pid: int
    other_pid: int
    rows: tuple[int, ...]
    other_row: int
    score: float


@dataclass(frozen=True, slots=True)
class TwoPersons:
    """An id whose images fall into two parts as far apart as strangers.

    Attributes:
        pid: The id.
        rows: The images of the smaller part, ascending.
        other_row: The most typical image of the larger part.
        score: Share of the other ids that lie nearer to a part than the other part does, the
            smaller of both directions; 0 to 1.
    """

    pid: int
    rows: tuple[int, ...]
    other_row: int
    score: float


@dataclass(frozen=True, slots=True)
class LabelErrors:
    """What contradicts the labels, worst first."""

    wrong_person: tuple[WrongPerson, ...]
    same_person: tuple[SamePerson, ...]
    two_persons: tuple[TwoPersons, ...]


def find_label_errors(
    features: NDArray[np.floating],
    pids: Ints,
    camids: Ints | None = None,
    *,
    k: int = 6,
    search: Search = "exact",
) -> LabelErrors:
    """Finds labels that are likely wrong; a person should look at each before changing it.

    Args:
        features: `(N, D)`, of one set of labelled images.
        pids: `(N,)`, the person of each; -1 where unknown, which is never doubted and votes not.
        camids: `(N,)`, the camera of each; None where unknown.
        k: Neighbours that vote per image.
        search: How they are found.

    Returns:
        What was found, worst first.

    Raises:
        DataError: Unusable features, or labels of another length.
        ParamsError: k below 1.

    Example:
        >>> x = np.array([[1, 0], [1, 0.1], [1, 0.2], [0, 1], [0.1, 1], [0.2, 1.0], [1, 0.15]])
        >>> found = find_label_errors(x, np.array([0, 0, 0, 1, 1, 1, 1]), k=3)
        >>> [(item.row, item.pid, item.other_pid) for item in found.wrong_person]
        [(6, 1, 0)]
    """
    if k < 1:
        raise ParamsError(f"k is {k}; it must be at least 1.")
    unit = l2_normalize(features)
    for name, labels in (("pids", pids), ("camids", camids)):
        if labels is not None and labels.shape != (len(unit),):
            raise DataError(f"{len(unit)} features need as many {name}; received {labels.shape}.")
    known = np.flatnonzero(pids != NOBODY)
    if len(known) < 2:
        return LabelErrors((), (), ())
    names, persons = np.unique(pids[known], return_inverse=True)
    cameras = None if camids is None else camids[known]
    unit = unit[known]
    votes = _Votes(unit, persons, _neighbors(unit, cameras, k, search))
    same = [
        SamePerson(int(names[p]), int(names[q]), _rows(known, rows), int(known[other]), score)
        for p, q, rows, other, score in votes.same_person()
    ]
    two = [
        TwoPersons(int(names[p]), _rows(known, rows), int(known[other]), score)
        for p, rows, other, score in _two_persons(unit, persons, len(names))
    ]
    # What is found of whole ids is not told again of each of their images.
    told = {frozenset((item.pid, item.other_pid)) for item in same}
    split = {item.pid for item in two}
    wrong = [
        WrongPerson(int(known[i]), int(names[p]), int(names[q]), int(known[other]), score)
        for i, p, q, other, score in votes.wrong_person()
        if int(names[p]) not in split and frozenset((int(names[p]), int(names[q]))) not in told
    ]
    return LabelErrors(
        tuple(sorted(wrong, key=lambda item: (-item.score, item.row))),
        tuple(sorted(same, key=lambda item: (-item.score, item.pid, item.other_pid))),
        tuple(sorted(two, key=lambda item: (-item.score, item.pid))),
    )


def near_duplicates(
    features: NDArray[np.floating], min_similarity: float, *, k: int = 5, search: Search = "exact"
) -> tuple[Ints, Floats]:
    """Pairs of images that are nearly the same picture.

    Args:
        features: `(N, D)`, raw features of the pictures.
        min_similarity: Least cosine, 0 to 1.
        k: Nearest images that are looked at, per image.
        search: How they are found.

    Returns:
        Pairs `(P, 2)`, the lower row first, and their cosines `(P,)`; the most alike first.

    Example:
        >>> x = np.array([[1, 0], [1, 0.01], [0, 1.0]])
        >>> near_duplicates(x, 0.99)[0].tolist()
        [[0, 1]]
    """
    unit = l2_normalize(features)
    if len(unit) < 2:
        return np.empty((0, 2), np.int64), np.empty(0, np.float32)
    table = nearest_neighbors(unit, min(k, len(unit) - 1), method=search)
    similarity = 1 - table.sq_distances / 2  # of unit vectors
    left, place = np.nonzero(similarity >= min_similarity)
    right = table.ids[left, place]
    pairs = np.stack([np.minimum(left, right), np.maximum(left, right)], axis=1)
    pairs, first = np.unique(pairs, axis=0, return_index=True)
    cosines = similarity[left, place][first].astype(np.float32)
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -cosines))
    return pairs[order].astype(np.int64), cosines[order]


class _Votes:
    """Who votes for whom: the mutual neighbours of each image, counted by person."""

    def __init__(self, unit: Floats, persons: Ints, neighbors: Ints) -> None:
        rows, places = np.nonzero(neighbors >= 0)
        others = neighbors[rows, places]
        n, self._persons = len(unit), persons
        mutual = np.isin(rows * n + others, others * n + rows)
        rows, others = rows[mutual], others[mutual]  # of each row the nearest first
        self._n_images = np.bincount(persons)
        self._rows_of = _rows_by_person(persons, self._n_images)
        self._n_people = len(self._n_images)
        # One entry per image and person that its mutual neighbours name.
        codes = rows * self._n_people + persons[others]
        entries, first, counts = np.unique(codes, return_index=True, return_counts=True)
        self._row, self._person = np.divmod(entries, self._n_people)
        self._nearest = others[first]
        self._share = counts / neighbors.shape[1]  # of the k votes
        self._own = np.zeros(n)  # each image's share for its own id
        own = self._person == persons[self._row]
        self._own[self._row[own]] = self._share[own]

    def wrong_person(self) -> Iterator[tuple[int, int, int, int, float]]:
        """Image, its person, the likelier one, its nearest image of that one, and the score.

        Confident learning: an id counts where an image is as sure of it as the id's own images are
        on average, and surer than of its own id; the surest of those is the likelier one.
        """
        sure = np.bincount(self._persons, self._own, self._n_people) / self._n_images
        own = self._own[self._row]
        counts = (self._share >= sure[self._person]) & (self._share > own)
        entries = np.flatnonzero(counts)
        surest = entries[np.lexsort((-self._share[entries], self._row[entries]))]
        _, first = np.unique(self._row[surest], return_index=True)
        for entry in surest[first].tolist():
            row = int(self._row[entry])
            margin = float(self._share[entry] - self._own[row])
            yield (
                *(row, int(self._persons[row]), int(self._person[entry])),
                *(int(self._nearest[entry]), margin),
            )

    def same_person(self) -> Iterator[tuple[int, int, Ints, int, float]]:
        """The smaller person, the larger one, the former's images, one of the latter, the score.

        At least half the images of each must have a mutual neighbour among those of the other.
        """
        voter = self._persons[self._row]
        codes, inverse, n_voters = np.unique(
            voter * self._n_people + self._person, return_inverse=True, return_counts=True
        )
        total = np.bincount(voter, self._share, self._n_people)
        giver, taker = np.divmod(codes, self._n_people)
        share = np.bincount(inverse, self._share) / total[giver]
        wide = n_voters >= self._n_images[giver] / 2
        given = {
            (p, q): part
            for p, q, part in zip(
                giver[wide].tolist(), taker[wide].tolist(), share[wide].tolist(), strict=True
            )
        }
        by_code, ends = np.argsort(inverse, kind="stable"), np.cumsum(n_voters)
        for (p, q), part in given.items():
            if p < q and (q, p) in given:
                small, large = sorted((p, q), key=lambda person: (self._n_images[person], person))
                code = np.searchsorted(codes, small * self._n_people + large)
                between = by_code[ends[code] - n_voters[code] : ends[code]]
                typical, votes = np.unique(self._nearest[between], return_counts=True)
                score = min(1.0, 2 * float(np.sqrt(part * given[q, p])))
                yield small, large, self._rows_of[small], int(typical[votes.argmax()]), score


def _rows_by_person(persons: Ints, sizes: Ints) -> list[Ints]:
    """The rows of each person, ascending."""
    return np.split(np.argsort(persons, kind="stable"), np.cumsum(sizes)[:-1])


def _rows(known: Ints, rows: Ints) -> tuple[int, ...]:
    return tuple(sorted(known[rows].tolist()))


def _neighbors(unit: Floats, cameras: Ints | None, k: int, search: Search) -> Ints:
    """The k nearest rows of each, `(N, k)`, of other cameras if known; -1 where there are fewer."""
    if cameras is None:
        k = min(k, len(unit) - 1)
    return nearest_neighbors(unit, k, method=search, groups=cameras).ids


def _two_persons(
    unit: Floats, persons: Ints, n_people: int
) -> Iterator[tuple[int, Ints, int, float]]:
    """Person, the images of the smaller part, a typical one of the larger part, and the score."""
    from scipy.cluster.hierarchy import fcluster, linkage

    sizes = np.bincount(persons)
    means = np.zeros((n_people, unit.shape[1]), np.float32)
    np.add.at(means, persons, unit)
    means /= sizes[:, None]
    others = np.unique(np.linspace(0, n_people - 1, min(n_people, _OTHERS)).astype(np.int64))
    of_others = means[others]
    for person, rows in enumerate(_rows_by_person(persons, sizes)):
        if len(rows) < 4 or n_people < 3:
            continue
        part = fcluster(linkage(unit[rows], "average"), 2, "maxclust")
        small, large = sorted((rows[part == 1], rows[part == 2]), key=len)
        if len(small) < 2:
            continue
        # The product of two means is the mean cosine of all pairs.
        ends = [unit[half].mean(axis=0) for half in (small, large)]
        nearer = np.stack([of_others @ end > ends[0] @ ends[1] for end in ends])
        nearer[:, others == person] = False
        score = float(nearer.sum(axis=1).min() / (others != person).sum())
        if score > _FAR:
            yield person, small, int(large[np.argmax(unit[large] @ ends[1])]), score
