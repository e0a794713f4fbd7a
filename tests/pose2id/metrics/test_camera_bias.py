"""Camera bias against plain loops, and on features whose bias is known."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from pose2id.errors import DataError
from pose2id.labels import Labels
from pose2id.metrics import camera_bias
from pose2id.metrics.camera_bias import first_neighbor_clusters, normalized_mutual_information

RANDOM = np.random.default_rng(5)


def plain_nmi(left: list[int], right: list[int]) -> float:
    """By the definition, pair of groups by pair of groups."""
    n, a, b, both = len(left), Counter(left), Counter(right), Counter(zip(left, right, strict=True))
    mutual = sum(m / n * math.log(n * m / (a[x] * b[y])) for (x, y), m in both.items())
    entropies = [-sum(m / n * math.log(m / n) for m in side.values()) for side in (a, b)]
    return mutual / (sum(entropies) / 2)


def plain_clusters(features: np.ndarray) -> list[set[int]]:
    """Sets of images, joined link by link."""
    found = [{row} for row in range(len(features))]
    for row, feature in enumerate(features):
        others = [r for r in range(len(features)) if r != row]
        nearest = min(others, key=lambda r: (((features[r] - feature) ** 2).sum(), r))
        touched = [part for part in found if row in part or nearest in part]
        found = [part for part in found if part not in touched] + [set.union(*touched)]
    return sorted(found, key=min)


def test_clusters_and_figures_equal_plain_loops() -> None:
    for _ in range(5):
        features = RANDOM.normal(size=(80, 3)).astype(np.float32)
        clusters = first_neighbor_clusters(features)
        members = [set(np.flatnonzero(clusters == c).tolist()) for c in range(clusters.max() + 1)]
        assert members == plain_clusters(features)
        labels = RANDOM.integers(0, 4, 80)
        found = normalized_mutual_information(clusters, labels)
        assert found == pytest.approx(plain_nmi(clusters.tolist(), labels.tolist()))


def scene(n_people: int, pull: float) -> tuple[np.ndarray, Labels]:
    """Four pictures a person, one per camera; cameras move them by `pull`."""
    pids, camids = np.repeat(np.arange(n_people), 4), np.tile(np.arange(4), n_people)
    centres = RANDOM.normal(size=(n_people, 16))
    features = centres[pids] + pull * np.eye(16)[camids] + RANDOM.normal(size=(len(pids), 16)) / 100
    names = np.array([f"g/{row}" for row in range(len(pids))])
    return features.astype(np.float32), Labels(pids=pids, camids=camids, image_ids=names)


def test_the_bias_is_that_of_cameras_beyond_chance() -> None:
    fair, labels = scene(40, pull=0)
    biased, _ = scene(40, pull=30)
    low, high = camera_bias(fair, labels), camera_bias(biased, labels)
    assert low.camera_nmi < low.camera_nmi_by_chance < high.camera_nmi
    assert low.identity_nmi > 0.9 > high.identity_nmi


def test_what_is_unknown_is_not_measured() -> None:
    features, labels = scene(5, pull=1)
    nothing = camera_bias(features, Labels())
    one_camera = camera_bias(features, Labels(pids=labels.pids, camids=np.zeros(20, np.int64)))
    assert np.isnan([nothing.camera_nmi, nothing.camera_nmi_by_chance]).all()
    assert np.isnan([nothing.identity_nmi, one_camera.camera_nmi]).all()
    assert one_camera.identity_nmi == camera_bias(features, labels).identity_nmi
    assert np.isnan(camera_bias(features[:1], labels.take([0])).camera_nmi)
    with pytest.raises(DataError, match="labels of 20"):
        camera_bias(features[:7], labels)


def test_a_sample_holds_whole_people_whatever_the_order_of_rows() -> None:
    features, labels = scene(30, pull=0)
    found = camera_bias(features, labels, max_images=40)
    assert found.identity_nmi > 0.9  # ten people, not forty pictures of thirty
    order = RANDOM.permutation(len(features))
    other = camera_bias(features[order], labels.take(order), max_images=40)
    assert other.identity_nmi == pytest.approx(found.identity_nmi)
    assert other.camera_nmi == pytest.approx(found.camera_nmi)
