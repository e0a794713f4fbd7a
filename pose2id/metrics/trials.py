"""The repetitions of a protocol: which images take part in each, and the draws that say so."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose2id.arrays import to_numpy
from pose2id.errors import DataError, ParamsError
from pose2id.features import Ints
from pose2id.labels import UNKNOWN, Labels
from pose2id.metrics.matching import first_sysu_camera
from pose2id.metrics.permutations import Permutations
from pose2id.protocols import Rules

N_TRIALS = 10  # of SYSU-MM01, PRCC and VIPeR
_PRCC_SEED = 3
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Trial:
    """One repetition.

    Attributes:
        name: What notes call it.
        gallery: `(G,) bool`, images that take part; None = all.
        queries: `(Q,) bool`, queries that take part; None = all.
        own_keys: `(G,)` random numbers: of a query's positives only the one with the smallest takes
            part, whatever `gallery` says of that person; None = no such draw.
    """

    name: str
    gallery: Mask | None = None
    queries: Mask | None = None
    own_keys: NDArray[np.float64] | None = None

    @property
    def is_everything(self) -> bool:
        """Whether all queries and the whole gallery take part."""
        return self.gallery is None and self.queries is None and self.own_keys is None

    def targets(self, query: int, positives: Ints) -> Ints:
        """Places in `positives` of those that take part."""
        if self.queries is not None and not self.queries[query]:
            return np.empty(0, np.int64)
        if self.own_keys is not None and positives.size:
            return np.array([np.argmin(self.own_keys[positives])])
        if self.gallery is None:
            return np.arange(len(positives))
        return self.gallery[positives].nonzero()[0]

    def kept(self, positives: Ints, targets: Ints) -> Mask | None:
        """Gallery images that are ranked for a query, `(G,) bool`; None = all."""
        if self.own_keys is None or self.gallery is None:
            return self.gallery
        kept = self.gallery.copy()
        kept[positives] = False
        kept[positives[targets]] = True
        return kept


@dataclass(frozen=True, slots=True)
class DrawOptions:
    """What draws depend on beside labels.

    Attributes:
        seed: Seed of draws that no publication fixes.
        n_draws: Draws per query of `single_gallery_shot` and `cuhk03_classic`.
        permutations: SYSU-MM01's, see `read_permutations`.
        people: Persons of each trial, for `regdb` and `viper`; None = all at once, or ten halves.
    """

    seed: int = 0
    n_draws: int = 10
    permutations: Permutations | None = None
    people: Sequence[ArrayLike] | None = None


def make_trials(
    rules: Rules, query: Labels, gallery: Labels, shape: tuple[int, int], options: DrawOptions
) -> tuple[list[Trial], tuple[str, ...]]:
    """The repetitions that a protocol asks for.

    Args:
        rules: The protocol.
        query: Labels of the queries.
        gallery: Labels of the gallery.
        shape: (Q, G).
        options: Seeds, numbers and files.

    Returns:
        The trials, and sentences on what differs from the definition.

    Raises:
        DataError: Permutations that are missing or do not know the gallery's persons.
        ParamsError: Less than one draw.
    """
    if options.n_draws < 1:
        raise ParamsError(f"n_draws is {options.n_draws}; it must be at least 1.")
    people = gallery.people(shape[1])
    if rules.draws == "per_query":
        return _per_query(people, options), ()
    if rules.draws == "prcc":
        return _prcc(people, gallery.reading_order(shape[1])), ()
    if rules.draws in ("halves", "given"):
        return _of_people(rules, query.people(shape[0]), people, options), ()
    if rules.draws in ("sysu_official", "sysu_seeded"):
        if query.camids is None or gallery.camids is None:
            raise DataError("SYSU-MM01's trials need camids of both sides.")
        cameras = gallery.camids - first_sysu_camera(query.camids) + 1  # numbered from 1
        groups = _of_person_and_camera(people, cameras, gallery.reading_order(shape[1]))
        groups = {key: rows for key, rows in groups.items() if key[1] in rules.cameras}
        if rules.draws == "sysu_seeded":
            return _sysu_seeded(groups, rules.shots, shape[1]), ()
        return _sysu_official(groups, rules.shots, shape[1], options.permutations)
    return [Trial("all")], ()


def _per_query(people: Ints, options: DrawOptions) -> list[Trial]:
    """One image per person; distractors and unlabelled images stay in every draw."""
    trials = []
    for draw in range(options.n_draws):
        keys = _generator("single_gallery_shot", options.seed, draw).random(len(people))
        order = np.lexsort((keys, people))
        kept = people == UNKNOWN
        kept[order[np.flatnonzero(np.diff(people[order], prepend=UNKNOWN - 1))]] = True
        trials.append(Trial(f"draw {draw + 1}", kept, own_keys=keys))
    return trials


def _prcc(people: Ints, order: Ints) -> list[Trial]:
    """One generator for all draws: person after person, one of the images in their order."""
    generator = random.Random(_PRCC_SEED)
    rows_of = {pid: order[people[order] == pid] for pid in np.unique(people) if pid != UNKNOWN}
    trials = []
    for draw in range(N_TRIALS):
        kept = people == UNKNOWN
        kept[[generator.choice(rows) for rows in rows_of.values()]] = True
        trials.append(Trial(f"draw {draw + 1}", kept))
    return trials


def _of_people(rules: Rules, query: Ints, gallery: Ints, options: DrawOptions) -> list[Trial]:
    """Trials of some of the persons each; whoever matches nobody stays in every gallery."""
    if options.people is not None:
        parts = [to_numpy(part) for part in options.people]
    elif rules.draws == "given":
        return [Trial("all")]
    else:
        everyone = np.intersect1d(query, gallery)
        everyone = everyone[everyone != UNKNOWN]
        orders = [
            _generator("viper", options.seed, split).permutation(everyone)
            for split in range(N_TRIALS)
        ]
        parts = [order[: max(1, len(everyone) // 2)] for order in orders]
    return [
        Trial(
            f"split {number}",
            gallery=np.isin(gallery, part) | (gallery == UNKNOWN),
            queries=np.isin(query, part),
        )
        for number, part in enumerate(parts, 1)
    ]


def _of_person_and_camera(people: Ints, cameras: Ints, order: Ints) -> dict[tuple[int, int], Ints]:
    """(person, camera) -> rows in reading order; persons ascending, then cameras."""
    order = order[people[order] != UNKNOWN]
    order = order[np.lexsort((cameras[order], people[order]))]
    keys = np.stack([people[order], cameras[order]], axis=1)
    starts = np.flatnonzero(np.any(np.diff(keys, axis=0, prepend=keys[:1] - 1), axis=1))
    parts = np.split(order, starts[1:]) if order.size else []
    return {
        (int(keys[start, 0]), int(keys[start, 1])): rows
        for start, rows in zip(starts, parts, strict=True)
    }


def _sysu_seeded(groups: dict[tuple[int, int], Ints], shots: int, n_gallery: int) -> list[Trial]:
    """Trial t: a generator seeded t chooses per person and camera; several without repetition."""

    def draw(generator: random.Random, rows: Ints) -> list[int]:
        choices: list[int] = rows.tolist()
        if shots == 1:
            return [generator.choice(choices)]
        return generator.sample(choices, min(shots, len(choices)))

    def picks(trial: int) -> Iterator[list[int]]:
        generator = random.Random(trial)
        return (draw(generator, rows) for rows in groups.values())

    return _drawn(picks, N_TRIALS, n_gallery)


def _sysu_official(
    groups: dict[tuple[int, int], Ints],
    shots: int,
    n_gallery: int,
    permutations: Permutations | None,
) -> tuple[list[Trial], tuple[str, ...]]:
    if permutations is None:
        raise DataError(
            "this protocol draws SYSU-MM01's galleries by its official permutations: name the "
            "file (score.permutations, or permutations=read_permutations(...)), or choose a "
            "protocol that ends in _seeded."
        )
    strangers = [key for key in groups if (key[1], key[0]) not in permutations]
    if strangers:
        raise DataError(
            f"the permutations know no images of {len(strangers)} of {len(groups)} pairs of a "
            f"person and a camera in this gallery, the first is person {strangers[0][0]} in "
            f"camera {strangers[0][1]}. Are these SYSU-MM01's own person ids and cameras?"
        )
    orders = {(pid, camera): permutations[camera, pid] for pid, camera in groups}
    n_other = sum(orders[key].shape[1] != len(rows) for key, rows in groups.items())

    def picks(trial: int) -> Iterator[Ints]:
        for key, rows in groups.items():
            numbers = orders[key][trial]
            yield rows[numbers[numbers <= len(rows)][:shots] - 1]

    notes: tuple[str, ...] = ()
    if n_other:
        notes = (
            f"{n_other} of {len(groups)} pairs of a person and a camera have another number of "
            "images than the official permutations: their draws differ from the published ones",
        )
    n_trials = next(iter(orders.values())).shape[0] if orders else N_TRIALS
    return _drawn(picks, n_trials, n_gallery), notes


def _drawn(
    picks: Callable[[int], Iterator[Sequence[int] | Ints]], n_trials: int, n_gallery: int
) -> list[Trial]:
    trials = []
    for trial in range(n_trials):
        kept = np.zeros(n_gallery, np.bool_)
        for rows in picks(trial):
            kept[rows] = True
        trials.append(Trial(f"trial {trial + 1}", kept))
    return trials


def _generator(name: str, seed: int, draw: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{name}/{seed}/{draw}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))
