"""One evaluation in memory, for studies that try many settings on the same features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pose2id.errors import DataError
from tasks.tables import schema
from tasks.tables.fusion_inputs import load_features
from tasks.tables.labels import read_labels
from tasks.tables.params import CentralizeParams, RerankParams

if TYPE_CHECKING:
    from pose2id.distances import DistanceSource
    from pose2id.metrics import Evaluation


@dataclass(frozen=True)
class Images:
    """Some images with their features and labels, rows in image id order.

    Attributes:
        image_ids: N names.
        original: `(N, D) float32`, raw.
        generated: `(N, M, D) float32`, raw.
        weights: `(N, M) float32`, 0 leaves a picture out.
        pids: `(N,) int64`, -1 = unknown.
        camids: `(N,) int64`, -1 = unknown.
        distractors: `(N,) bool`.
    """

    image_ids: list[str]
    original: NDArray[np.float32]
    generated: NDArray[np.float32]
    weights: NDArray[np.float32]
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]
    distractors: NDArray[np.bool_]

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Images:
        """The images of some rows."""
        index = np.asarray(rows, np.int64)
        return Images(
            [self.image_ids[row] for row in index],
            self.original[index],
            self.generated[index],
            self.weights[index],
            self.pids[index],
            self.camids[index],
            self.distractors[index],
        )

    def with_poses(self, n_poses: int) -> Images:
        """The same images with their first generated pictures only."""
        return replace(
            self, generated=self.generated[:, :n_poses], weights=self.weights[:, :n_poses]
        )


@dataclass(frozen=True)
class Setting:
    """What is done to query and gallery before they are compared.

    Attributes:
        eta: Strength of the fusion; 0 leaves the generated pictures out.
        k1: NFC's k1; 0 leaves NFC out.
        k2: NFC's k2.
        ipg_sides: Sides whose features are fused.
        nfc_sides: Sides that NFC is applied to.
        rerank: Re-ranking parameters, `None` = none.
    """

    eta: float = 0.0
    k1: int = 0
    k2: int = 0
    ipg_sides: tuple[str, ...] = ("query", "gallery")
    nfc_sides: tuple[str, ...] = ("query", "gallery")
    rerank: RerankParams | None = None
    reduce: str = "mean"


def load_images(layout: schema.Layout, split: str, params: CentralizeParams) -> Images:
    """The accepted images of a split, with labels.

    Raises:
        DataError: The split has no person ids.
    """
    image_ids, original, generated, weights = load_features(layout, split, params)
    labels = read_labels(layout, split, image_ids)
    if (labels.pids < 0).all():
        raise DataError(f"split {split!r} has no person ids, so nothing can be measured on it")
    return Images(
        image_ids, original, generated, weights, labels.pids, labels.camids, labels.distractors
    )


def features_of(images: Images, setting: Setting, side: str) -> NDArray[np.float32]:
    """The features of one side under a setting, `(N, D) float32`, L2-normalised."""
    from pose2id.centralize import fuse, l2_normalize, nfc

    features = l2_normalize(images.original)
    if setting.eta and side in setting.ipg_sides and images.generated.shape[1]:
        features = fuse(
            images.original,
            images.generated,
            reduce=setting.reduce,  # type: ignore[arg-type]
            eta=setting.eta,
            weights=images.weights,
        )
    if setting.k1 and side in setting.nfc_sides:
        features = nfc(features, setting.k1, setting.k2 or setting.k1)
    return features


def evaluate_setting(query: Images, gallery: Images, setting: Setting) -> tuple[Evaluation, float]:
    """Scores a gallery for its queries under a setting.

    Returns:
        The evaluation, and ID2 over both sides without distractors.
    """
    from pose2id.distances import FeatureDistances
    from pose2id.metrics import evaluate, identity_density
    from pose2id.rerank import k_reciprocal

    q = features_of(query, setting, "query")
    g = features_of(gallery, setting, "gallery")
    distances: DistanceSource = FeatureDistances(q, g)
    if setting.rerank is not None:
        distances = k_reciprocal(q, g, **setting.rerank.model_dump())
    result = evaluate(
        distances,
        query.pids,
        gallery.pids,
        query.camids,
        gallery.camids,
        distractors=gallery.distractors,
        top_k=0,
    )
    known = np.concatenate([query.pids >= 0, (gallery.pids >= 0) & ~gallery.distractors])
    pids = np.concatenate([query.pids, gallery.pids])[known]
    return result, identity_density(np.concatenate([q, g])[known], pids)[0]
