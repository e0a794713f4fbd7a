"""Choosing a chain, eta and k on the train split: every setting of a grid, all people at once.

Nothing is learned, so there are no folds. Query and gallery of the project are never looked at,
neither features nor labels.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pose2id.choices import Search
from pose2id.errors import DataError, ParamsError
from pose2id.features import Floats
from pose2id.labels import UNKNOWN
from pose2id.protocols import rules_of
from pose2id.steps.base import UNKNOWN_CAMERA, FindNeighbors, fresh_neighbors
from pose2id.steps.chain import Chain, feature_chain
from tasks.studies.choice import Candidate, Evidence, Gain
from tasks.studies.evaluation import Images, Setting, evaluate_setting, load_images
from tasks.tables import schema
from tasks.tables.labels import read_labels
from tasks.tables.params import Params
from tasks.tables.params_file import edit_params, inline
from tasks.tables.store import write_table

if TYPE_CHECKING:
    from pose2id.neighbors.table import NeighborTable

TUNED = "tuned"  # the variant that is written, where the chain has no name yet
FEW_PEOPLE = 30
MAX_ROUNDS = 3

Round = tuple[Images, Images]  # query and gallery


@dataclass(frozen=True)
class Choice:
    """What was chosen, and what it rests on.

    Attributes:
        variant: The chosen chain's name in the params file written.
        chosen: The chosen setting.
        best: The one with the highest mean, chosen or not.
        evidence: The scores of all settings.
        n_people: People who asked.
        n_queries: Pictures they asked with.
        n_images: Pictures of the split, which were asked for.
    """

    variant: str
    chosen: Candidate
    best: Candidate
    evidence: Evidence
    n_people: int
    n_queries: int
    n_images: int

    def gain(self, candidate: Candidate) -> Gain:
        """What a setting has more than base."""
        return self.evidence.gain(Candidate(), candidate)

    @property
    def notes(self) -> list[str]:
        """What a reader of the choice should know."""
        found = [
            f"It rests on {self.n_people} people, {self.n_queries} queries and {self.n_images} "
            "pictures; the means are of the split it was made on, not of your query and gallery."
        ]
        if self.n_people < FEW_PEOPLE:
            found.append(
                f"With {self.n_people} people the choice is coarse: a step that helps a little "
                "cannot be told from luck, and is left out."
            )
        return found


def tune(
    params: Params, root: Path, params_file: Path, on_setting: Callable[[], None] = lambda: None
) -> Choice:
    """Makes the choice and writes `data/tuning/study.parquet` and `data/tuning/params.yaml`.

    Args:
        params: All parameters; `tune` says what is looked at, the rest is kept.
        root: The project's root folder.
        params_file: The file that `params` are from; the one written keeps its comments.
        on_setting: Called after every setting.

    Raises:
        DataError: The split has no labels, or not two people who can be found.
        ParamsError: The split is not known, or is one that is scored.
    """
    layout = schema.Layout(root)
    _check_split(params, layout)
    images = load_images(layout, params.tune.split, params.centralize.tracklets)
    rounds = make_rounds(images, params)
    settings = candidates(params, images)
    pids = np.concatenate([query.pids for query, _ in rounds])
    aps = _evaluate(settings, rounds, params, on_setting)
    findable = ~np.isnan(aps[0])
    people = np.unique(pids[findable])
    if len(people) < 2:
        raise DataError(
            f"split {params.tune.split!r} has {len(people)} people with a picture to ask with and "
            f"another that protocol {params.score.protocol} lets it find; a choice needs at least "
            f"two, and is coarse below {FEW_PEOPLE}. Name another split in tune.split"
        )
    per_person = np.stack([aps[:, findable & (pids == pid)].mean(axis=1) for pid in people], axis=1)
    evidence = Evidence(settings, per_person, params.score.bootstrap_resamples, params.tune.seed)
    chosen = evidence.choose()
    variant = _write_params(params, params_file, layout.tuning / "params.yaml", chosen)
    n_queries = int(findable.sum())
    choice = Choice(
        variant, chosen, evidence.best, evidence, len(people), n_queries, len(images.image_ids)
    )
    write_table(layout.tuning / "study.parquet", _table(choice), producer="tune")
    return choice


def make_rounds(images: Images, params: Params) -> list[Round]:
    """A few pictures of everyone ask at once, for all other pictures of everyone and distractors.

    A query is one picture per person and camera, by hash. In its round it is not in the gallery at
    all: were it only hidden from its own ranking, gallery pictures would have absorbed it by NFC,
    and NFC would look better than it is. For the same reason no more pictures of a person ask
    together than `tune.queries_per_person`: they absorb each other, too. Each person keeps at least
    half of the pictures in the gallery. Where a protocol is across modalities, one asks for the
    other.

    Args:
        images: The split.
        params: Protocol, and how queries are taken.

    Returns:
        Query and gallery of each round, at most `MAX_ROUNDS`.

    Raises:
        DataError: Nobody has two pictures.
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
        raise DataError(
            f"nobody in split {params.tune.split!r} has two pictures, one to ask with and one to "
            "find; name another split in tune.split"
        )
    return found


def _queries(images: Images, asking: NDArray[np.bool_], params: Params) -> list[list[int]]:
    """The rows of each round's queries, ascending."""
    seed, cameras = params.tune.seed, images.features.cameras
    rows = np.flatnonzero(asking & (images.people != UNKNOWN)).tolist()
    n_pictures = Counter(images.people.tolist())
    one_per_camera: dict[int, dict[int, int]] = {}
    for row in sorted(rows, key=lambda row: _hash(seed, "query", images.image_ids[row])):
        one_per_camera.setdefault(int(images.pids[row]), {}).setdefault(int(cameras[row]), row)
    rounds: list[list[int]] = [[] for _ in range(MAX_ROUNDS)]
    for pid, by_camera in one_per_camera.items():
        at_once = min(params.tune.queries_per_person, n_pictures[pid] // 2)
        for number, row in enumerate(by_camera.values()):
            if at_once and number < at_once * MAX_ROUNDS:
                rounds[number // at_once].append(row)
    return [sorted(queries) for queries in rounds if queries]


def considered_steps(params: Params) -> Chain:
    """The steps that may be in the chain, in the order in which they would be.

    Those of `tune.steps`, then others that variants name; where a variant orders some of them, its
    order holds.

    >>> from pathlib import Path
    >>> from tasks.tables.params import load_params
    >>> considered_steps(load_params(Path("params.yaml")))
    ('camera_normalize', 'fuse', 'nfc')
    """
    variants = [feature_chain(chain) for chain in params.variants.values()]
    order = list(dict.fromkeys([*params.tune.steps, *(s for chain in variants for s in chain)]))
    for chain in reversed(variants):  # of two that disagree, the first one holds
        steps = list(dict.fromkeys(chain))
        places = sorted(order.index(step) for step in steps)
        for place, step in zip(places, steps, strict=True):
            order[place] = step
    return tuple(order)


def candidates(params: Params, images: Images) -> list[Candidate]:
    """Every setting that the split can be asked about, base first.

    `fuse` needs drawings, `camera_normalize` two known cameras, and k is at most the median number
    of other pictures of a person: more neighbours would have to be other people.
    """
    n_cameras = _n_cameras(images.features.camids)
    _, counts = np.unique(images.people[images.people != UNKNOWN], return_counts=True)
    largest_k = min(params.tune.max_k, int(np.median(counts)) - 1) if len(counts) else 0
    etas = np.geomspace(*params.tune.eta, params.tune.n_eta).round(4).tolist()
    found = [Candidate()]
    for step in considered_steps(params):
        more = []
        for before in found:
            chain = (*before.chain, step)
            if step == "fuse":
                more += [replace(before, chain=chain, eta=eta) for eta in etas if images.n_drawings]
            elif step == "nfc":
                more += [replace(before, chain=chain, k=k) for k in range(1, largest_k + 1)]
            elif step != "camera_normalize" or n_cameras > 1:
                more.append(replace(before, chain=chain))
        found += more
    return found


class _KeptSearches:
    """Neighbours searched once, for the largest k, and cut for every smaller one."""

    def __init__(self, largest_k: int) -> None:
        self._largest_k = largest_k
        self._tables: dict[tuple[str, Chain], NeighborTable] = {}

    def __call__(self, side: str, done: Chain) -> FindNeighbors:
        if "nfc" in done:  # what it finds depends on k
            return fresh_neighbors

        def find(features: Floats, k: int, *, search: Search, memory_mib: int) -> NeighborTable:
            if (side, done) not in self._tables:
                most = max(k, min(self._largest_k, len(features) - 1))
                self._tables[side, done] = fresh_neighbors(
                    features, most, search=search, memory_mib=memory_mib
                )
            table = self._tables[side, done]
            return replace(table, ids=table.ids[:, :k], sq_distances=table.sq_distances[:, :k])

        return find


def _evaluate(
    settings: list[Candidate], rounds: list[Round], params: Params, on_setting: Callable[[], None]
) -> NDArray[np.float64]:
    """`(S, Q)` AP of every query under every setting, NaN where it has nobody to find."""
    fusion, nfc = params.centralize.step("fuse"), params.centralize.step("nfc")
    aps: dict[Candidate, NDArray[np.float64]] = {}
    alike = sorted(settings, key=_before_nfc)
    for _, group in groupby(alike, key=_before_nfc):  # differ in k alone: one search a round
        same = list(group)
        searches = [_KeptSearches(max(item.k for item in same)) for _ in rounds]
        for item in same:
            steps = {
                "fuse": replace(fusion, eta=item.eta),
                "nfc": replace(nfc, k1=max(1, item.k), k2=max(1, item.k)),
            }
            setting = Setting.both(item.chain, **steps)
            scores = [
                _average_precisions(*sides, setting, params, kept)
                for sides, kept in zip(rounds, searches, strict=True)
            ]
            aps[item] = np.concatenate(scores)
            on_setting()
    return np.stack([aps[item] for item in settings])


def _average_precisions(
    query: Images, gallery: Images, setting: Setting, params: Params, searches: _KeptSearches
) -> NDArray[np.float64]:
    """AP of each query; where a step refers to the train split, the gallery stands for it."""
    result, _ = evaluate_setting(
        *(query, gallery, setting, params), lambda: gallery.features, searches
    )
    return result.ap


def _before_nfc(candidate: Candidate) -> tuple[Chain, float]:
    return candidate.chain, candidate.eta


def _n_cameras(camids: NDArray[np.int64] | None) -> int:
    return 0 if camids is None else len(np.unique(camids[camids != UNKNOWN_CAMERA]))


def _check_split(params: Params, layout: schema.Layout) -> None:
    split = params.tune.split
    if split not in params.splits:
        raise ParamsError(
            f"tune.split is {split!r}, which is not among splits ({', '.join(params.splits)})"
        )
    if split in (params.score.query, params.score.gallery):
        raise ParamsError(
            f"tune.split is {split!r}, which is what is scored; choosing parameters on "
            "it would make the scores too good. Name a split of other people"
        )
    labels = read_labels(layout, split)
    if not labels.known("pids"):
        safe = "[]" if _n_cameras(labels.camids) < 2 else "[camera_normalize]"
        raise DataError(
            f"split {split!r} has no person ids, so no step's gain can be shown. The safe chain "
            f"without labels is {safe}: `fuse` and `nfc` can harm, and nobody would see it. Label "
            "some 30 people or more to choose"
        )


def _table(choice: Choice) -> pa.Table:
    rows = []
    for number, candidate in enumerate(choice.evidence.candidates):
        to_best = choice.evidence.gain(choice.best, candidate)
        gain = choice.gain(candidate)
        rows.append(
            {
                "setting": number,
                "steps": list(candidate.chain),
                "eta": candidate.eta,
                "k": candidate.k,
                "mAP": choice.evidence.mean(candidate),
                "below_best": -to_best.delta,
                "below_best_error": to_best.error,
                "gain": gain.delta,
                "gain_low": gain.low,
                "gain_high": gain.high,
                "best": candidate == choice.best,
                "chosen": candidate == choice.chosen,
                "n_people": choice.n_people,
                "n_queries": choice.n_queries,
                "n_images": choice.n_images,
            }
        )
    return pa.Table.from_pylist(rows, schema=schema.TUNING)


def _write_params(params: Params, source: Path, target: Path, chosen: Candidate) -> str:
    """Writes the choice into a copy of the params file; returns the chosen chain's variant."""
    names = {chain: name for name, chain in params.variants.items() if name != TUNED}
    variant = names.get(chosen.chain, TUNED)

    def change(sections: Any) -> None:  # noqa: ANN401 - ruamel's mapping
        steps = sections.setdefault("centralize", {})
        if "fuse" in chosen.chain:
            steps.setdefault("fuse", {})["eta"] = chosen.eta
        if "nfc" in chosen.chain:
            steps.setdefault("nfc", {}).update(k1=chosen.k, k2=chosen.k)
        if "variants" not in sections:
            sections["variants"] = {name: inline(chain) for name, chain in params.variants.items()}
        sections["variants"].pop(TUNED, None)
        if variant == TUNED:
            sections["variants"][TUNED] = inline(chosen.chain)

    edit_params(source, target, change)
    return variant


def _hash(*parts: object) -> int:
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big")
