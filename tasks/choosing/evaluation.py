"""One evaluation in memory, for studies that try many settings on the same features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pose2id.choices import Tracklets
from pose2id.errors import DataError
from pose2id.features import Floats
from pose2id.labels import UNKNOWN, Labels
from pose2id.protocols import rules_of
from pose2id.steps.base import FeatureSet, FindNeighbors, fresh_neighbors
from pose2id.steps.chain import Chain, ChainRunner
from pose2id.steps.scoring import chain_distances
from tasks.tables import schema
from tasks.tables.feature_sets import load_feature_set
from tasks.tables.labels import read_labels
from tasks.tables.params import Params

if TYPE_CHECKING:
    from pose2id.metrics import Evaluation

QUERY, GALLERY = "query", "gallery"


@dataclass(frozen=True)
class Images:
    """Some images with their features and labels, rows in image id order.

    Attributes:
        image_ids: N names.
        features: Their raw features with cameras and drawings.
        labels: Their labels, image ids among them.
    """

    image_ids: list[str]
    features: FeatureSet
    labels: Labels

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Images:
        """The images of some rows."""
        index = np.asarray(rows, np.int64)
        ids = [self.image_ids[row] for row in index]
        return Images(ids, self.features.take(index), self.labels.take(index))

    @property
    def pids(self) -> NDArray[np.int64]:
        """`(N,) int64`, -1 = unknown."""
        unknown = np.full(len(self.image_ids), UNKNOWN, np.int64)
        return unknown if self.labels.pids is None else self.labels.pids

    @property
    def distractors(self) -> NDArray[np.bool_]:
        """`(N,) bool`."""
        none = np.zeros(len(self.image_ids), np.bool_)
        return none if self.labels.distractors is None else self.labels.distractors

    @property
    def people(self) -> NDArray[np.int64]:
        """`(N,) int64`, -1 for unknown persons and distractors."""
        return self.labels.people(len(self.image_ids))

    @property
    def n_drawings(self) -> int:
        """Drawings per image."""
        drawings = self.features.drawings
        return 0 if drawings is None else int(drawings.shape[1])

    def with_drawings(self, n: int) -> Images:
        """The same images with their first drawings only."""
        features = self.features
        if features.drawings is None or features.drawing_weights is None:
            return self
        first = replace(
            features,
            drawings=features.drawings[:, :n],
            drawing_weights=features.drawing_weights[:, :n],
        )
        return replace(self, features=first)


@dataclass(frozen=True)
class Setting:
    """What is done to query and gallery before they are compared.

    Attributes:
        query: Steps of the queries.
        gallery: Steps of the gallery. A step at scoring, if any, ends both chains.
        params: Step -> parameters, where they are not those of params.yaml.
    """

    query: Chain = ()
    gallery: Chain = ()
    params: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def both(cls, chain: Chain, **params: Any) -> Setting:  # noqa: ANN401 - steps' parameters
        """The same steps on both sides."""
        return cls(chain, chain, params)


def load_images(layout: schema.Layout, split: str, tracklets: Tracklets = "none") -> Images:
    """The accepted images of a split, with labels.

    Raises:
        DataError: The split has no person ids.
    """
    image_ids, features = load_feature_set(layout, split, tracklets)
    labels = read_labels(layout, split, image_ids)
    if not labels.known("pids"):
        raise DataError(f"split {split!r} has no person ids, so nothing can be measured on it")
    return Images(image_ids, features, labels)


def evaluate_setting(
    query: Images,
    gallery: Images,
    setting: Setting,
    params: Params,
    load_train: Callable[[], FeatureSet] | None = None,
    find_neighbors: Callable[[str, Chain], FindNeighbors] = lambda side, done: fresh_neighbors,
) -> tuple[Evaluation, float]:
    """Scores a gallery for its queries under a setting, and how dense people are.

    Args:
        query: The queries.
        gallery: The gallery, which is also what steps with `reference: gallery` refer to.
        setting: What is done to both.
        params: All parameters: protocol, and what the setting leaves as it is.
        load_train: Gives what steps with `reference: train` refer to.
        find_neighbors: Gives, for a side and the steps that it has been through, how its
            neighbours are found.

    Returns:
        The evaluation, and ID2 over both sides without distractors.
    """
    from pose2id.metrics import identity_density

    runner = runner_of(query, gallery, params, load_train, find_neighbors)
    result, q, g = run_setting(query, gallery, setting, params, runner)
    people = np.concatenate([query.people, gallery.people])
    known = people != UNKNOWN
    return result, identity_density(np.concatenate([q, g])[known], people[known])[0]


def runner_of(
    query: Images,
    gallery: Images,
    params: Params,
    load_train: Callable[[], FeatureSet] | None,
    find_neighbors: Callable[[str, Chain], FindNeighbors],
) -> ChainRunner:
    """What runs chains on two sides; settings that share it do once what they begin with."""

    def load(side: str) -> FeatureSet:
        if side == "train" and load_train is not None:
            return load_train()
        return query.features if side == QUERY else gallery.features

    roles = {GALLERY: GALLERY, **({"train": "train"} if load_train else {})}
    return ChainRunner(load, params.centralize.by_step(), roles, find_neighbors)


def run_setting(
    query: Images, gallery: Images, setting: Setting, params: Params, runner: ChainRunner
) -> tuple[Evaluation, Floats, Floats]:
    """As `evaluate_setting`; returns the evaluation, and the features of both sides."""
    from pose2id.metrics import evaluate

    steps = {**params.centralize.by_step(), **params.score.by_step(), **setting.params}
    q = runner.run(QUERY, setting.query, setting.params).features
    g = runner.run(GALLERY, setting.gallery, setting.params).features
    distances, _ = chain_distances(q, g, setting.gallery, steps)
    rules = rules_of(params.score.protocol)
    result = evaluate(
        distances,
        query_labels=query.labels,
        gallery_labels=gallery.labels,
        protocol=params.score.protocol,
        backward=chain_distances(g, q, setting.gallery, steps)[0]
        if rules.both_directions
        else None,
        seed=params.score.seed,
        top_k=0,
    )
    return result, q, g
