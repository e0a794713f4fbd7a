"""Every setting of a grid, judged on a labelled split: all people and distractors at once.

Nothing is learned, so there are no folds. Query and gallery of the project are never looked at,
neither features nor labels.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pose2id.choices import Search
from pose2id.errors import DataError
from pose2id.features import Floats
from pose2id.labels import UNKNOWN
from pose2id.protocols import rules_of
from pose2id.steps.base import UNKNOWN_CAMERA, FindNeighbors, fresh_neighbors
from pose2id.steps.chain import Chain, ChainRunner
from tasks.choosing.evaluation import Images, Setting, run_setting, runner_of
from tasks.choosing.rules import Candidate, Evidence
from tasks.tables.choice import with_values
from tasks.tables.labels import read_labels
from tasks.tables.params import Params
from tasks.tables.schema import Layout

if TYPE_CHECKING:
    from pose2id.neighbors.table import NeighborTable

FEW_PEOPLE = 30
MAX_ROUNDS = 3
WEIGHTS = (0.5, 1.0)  # of a second network, that are tried

Round = tuple[Images, Images]  # query and gallery


class NoEvidenceError(DataError):
    """The split cannot tell one setting from another."""


@dataclass(frozen=True)
class Judged:
    """What a split says of every setting.

    Attributes:
        evidence: The scores of all settings.
        n_people: People who asked.
        n_queries: Pictures they asked with.
        n_images: Pictures of the split, which were asked for.
    """

    evidence: Evidence
    n_people: int
    n_queries: int
    n_images: int


def check_split(params: Params, layout: Layout) -> None:
    """Refuses a split that there is not, that is scored, or that has no labels.

    Raises:
        NoEvidenceError: It is so.
    """
    split = params.tune.split
    if split not in params.splits:
        raise NoEvidenceError(
            f"tune.split is {split!r}, which is not among splits ({', '.join(params.splits)})"
        )
    if split in (params.score.query, params.score.gallery):
        raise NoEvidenceError(
            f"tune.split is {split!r}, which is what is scored; choosing parameters on it would "
            "make the scores too good. Name a split of other people"
        )
    if not read_labels(layout, split).known("pids"):
        raise NoEvidenceError(
            f"split {split!r} has no person ids, so no step's gain can be shown. Label some "
            f"{FEW_PEOPLE} people or more to choose"
        )


def judge(
    settings: list[Candidate],
    images: Images,
    params: Params,
    on_setting: Callable[[], None] = lambda: None,
) -> Judged:
    """Scores every setting.

    Args:
        settings: The settings, and with each one those that lack one of its steps.
        images: The split.
        params: All parameters; a setting's own values stand before theirs.
        on_setting: Called after every setting.

    Raises:
        NoEvidenceError: There are not two people who can be found.
    """
    rounds = make_rounds(images, params)
    pids = np.concatenate([query.pids for query, _ in rounds])
    aps = _evaluate(settings, rounds, params, on_setting)
    findable = ~np.isnan(aps[0])
    people = np.unique(pids[findable])
    if len(people) < 2:
        raise NoEvidenceError(
            f"split {params.tune.split!r} has {len(people)} people with a picture to ask with and "
            f"another that protocol {params.score.protocol} lets it find; a choice needs at least "
            f"two, and is coarse below {FEW_PEOPLE}. Name another split in tune.split"
        )
    per_person = np.stack([aps[:, findable & (pids == pid)].mean(axis=1) for pid in people], axis=1)
    evidence = Evidence(settings, per_person, params.score.bootstrap_resamples, params.tune.seed)
    return Judged(evidence, len(people), int(findable.sum()), len(images.image_ids))


def evidence_rows(judged: Judged, chain: Chain, settings: list[Candidate]) -> list[dict[str, Any]]:
    """The evidence on one chain, a row for each setting."""
    evidence = judged.evidence
    verdict, best = evidence.choose(settings), evidence.best_of(settings)
    rows = []
    for number, candidate in enumerate(settings):
        to_best, gain = evidence.gain(best, candidate), evidence.gain(settings[0], candidate)
        rows.append(
            {
                "chain": list(chain),
                "setting": number,
                "steps": list(candidate.chain),
                "eta": candidate.eta,
                "k": candidate.k,
                "weight": candidate.weight,
                "mAP": evidence.mean(candidate),
                "below_best": -to_best.delta,
                "below_best_error": to_best.error,
                "gain": gain.delta,
                "gain_low": gain.low,
                "gain_high": gain.high,
                "best": candidate == best,
                "chosen": candidate == verdict.chosen,
                "why": verdict.why[candidate],
                "n_people": judged.n_people,
                "n_queries": judged.n_queries,
                "n_images": judged.n_images,
            }
        )
    return rows


def make_rounds(images: Images, params: Params) -> list[Round]:
    """A few pictures of everyone ask at once, for all other pictures of everyone and distractors.

    Queries are pictures of every person, by hash; those of one round are of different cameras. In
    its round a query is not in the gallery at all: were it only hidden from its own ranking,
    gallery pictures would have absorbed it by NFC, and NFC would look better than it is. For the
    same reason no more pictures of a person ask together than `tune.queries_per_person`: they
    absorb each other, too. Each person keeps at least half of the pictures in the gallery. Where a
    protocol is across modalities, one asks for the other.

    Args:
        images: The split.
        params: Protocol, and how queries are taken.

    Returns:
        Query and gallery of each round, at most `MAX_ROUNDS`.

    Raises:
        NoEvidenceError: Nobody has two pictures.
    """
    everyone = np.ones(len(images.image_ids), np.bool_)
    modality = images.labels.modality
    turns = [(everyone, everyone)]
    if rules_of(params.score.protocol).cross_modal and modality is not None:
        turns = [(modality == name, modality != name) for name in np.unique(modality)]
    found = []
    for asking, asked in turns:
        for queries in _queries(images, asking, params):
            gallery = asked.copy()
            gallery[queries] = False
            if gallery.any():
                found.append((images.take(queries), images.take(np.flatnonzero(gallery))))
    if not found:
        raise NoEvidenceError(
            f"nobody in split {params.tune.split!r} has two pictures, one to ask with and one to "
            "find; name another split in tune.split"
        )
    return found


def _queries(images: Images, asking: NDArray[np.bool_], params: Params) -> list[list[int]]:
    """The rows of each round's queries, ascending."""
    seed, cameras = params.tune.seed, images.features.cameras
    rows = np.flatnonzero(asking & (images.people != UNKNOWN)).tolist()
    n_pictures = Counter(images.people.tolist())
    rounds: list[list[int]] = [[] for _ in range(MAX_ROUNDS)]
    asking_cameras: dict[tuple[int, int], list[int]] = {}  # of a round and person
    for row in sorted(rows, key=lambda row: _hash(seed, "query", images.image_ids[row])):
        pid, camera = int(images.pids[row]), int(cameras[row])
        at_once = min(params.tune.queries_per_person, n_pictures[pid] // 2)
        for number, queries in enumerate(rounds):
            taken = asking_cameras.setdefault((number, pid), [])
            if len(taken) < at_once and camera not in taken:
                taken.append(camera)
                queries.append(row)
                break
    return [sorted(queries) for queries in rounds if queries]


def candidates(
    params: Params, images: Images, chain: Chain, free: Container[str] | None = None
) -> list[Candidate]:
    """Every setting of a chain that a split can be asked about, that without free steps first.

    `fuse` needs drawings, `camera_normalize` two known cameras, `second_opinion` a second network,
    and k is at most the median number of other pictures of a person: more neighbours would have to
    be other people.

    Args:
        params: The grid.
        images: The split.
        chain: Steps on features.
        free: Steps that may be left out; None = all. The others are done as the parameters say.
    """
    n_cameras = count_cameras(images.features.camids)
    _, counts = np.unique(images.people[images.people != UNKNOWN], return_counts=True)
    largest_k = min(params.tune.max_k, int(np.median(counts)) - 1) if len(counts) else 0
    etas = np.geomspace(*params.tune.eta, params.tune.n_eta).round(4).tolist()
    found = [Candidate()]
    for step in chain:
        more = []
        for before in found:
            after = replace(before, chain=(*before.chain, step))
            if free is not None and step not in free:
                more.append(after)
            elif step == "fuse":
                more += [replace(after, eta=eta) for eta in etas if images.n_drawings]
            elif step == "nfc":
                more += [replace(after, k=k) for k in range(1, largest_k + 1)]
            elif step == "second_opinion":
                seen = images.features.second is not None
                more += [replace(after, weight=weight) for weight in WEIGHTS if seen]
            elif step != "camera_normalize" or n_cameras > 1:
                more.append(after)
        found = [*found, *more] if free is None or step in free else more
    return found


class _KeptSearches:
    """Neighbours searched once, for the largest k, and cut for every smaller one."""

    def __init__(self, largest_k: int) -> None:
        self._largest_k = largest_k
        self._tables: dict[tuple[str, Chain], NeighborTable] = {}

    def __call__(self, side: str, done: Chain) -> FindNeighbors:
        if "nfc" in done:  # what it finds depends on k
            return fresh_neighbors

        def find(
            features: Floats, k: int, *, search: Search, effort: int = 16, memory_mib: int
        ) -> NeighborTable:
            if (side, done) not in self._tables:
                most = max(k, min(self._largest_k, len(features) - 1))
                self._tables[side, done] = fresh_neighbors(
                    features, most, search=search, effort=effort, memory_mib=memory_mib
                )
            table = self._tables[side, done]
            return replace(table, ids=table.ids[:, :k], sq_distances=table.sq_distances[:, :k])

        return find


def _evaluate(
    settings: list[Candidate], rounds: list[Round], params: Params, on_setting: Callable[[], None]
) -> NDArray[np.float64]:
    """`(S, Q)` AP of every query under every setting, NaN where it has nobody to find."""
    aps: dict[Candidate, NDArray[np.float64]] = {}
    alike = sorted(settings, key=_before_nfc)
    for _, group in groupby(alike, key=_before_nfc):  # differ in k alone: one search a round
        same = list(group)
        largest_k = max(item.k for item in same)
        runners = [_runner(*sides, params, largest_k) for sides in rounds]
        for item in same:
            steps = with_values(params.centralize.by_step(), item.eta, item.k, item.weight)
            setting = Setting.both(item.chain, **steps)
            found = [
                run_setting(*sides, setting, params, runner)[0]
                for sides, runner in zip(rounds, runners, strict=True)
            ]
            aps[item] = np.concatenate([result.ap for result in found])
            on_setting()
    return np.stack([aps[item] for item in settings])


def _runner(query: Images, gallery: Images, params: Params, largest_k: int) -> ChainRunner:
    """What runs the chains of a round; for the train split the gallery stands."""
    searches = _KeptSearches(largest_k)
    return runner_of(query, gallery, params, lambda: gallery.features, searches)


def _before_nfc(candidate: Candidate) -> tuple[Chain, float, float]:
    return candidate.chain, candidate.eta, candidate.weight


def count_cameras(camids: NDArray[np.int64] | None) -> int:
    """How many cameras are known."""
    return 0 if camids is None else len(np.unique(camids[camids != UNKNOWN_CAMERA]))


def _hash(*parts: object) -> int:
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big")
