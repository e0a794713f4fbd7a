"""Pooling of tracklets beside plain loops, and tracklets from the index to the scores."""

from __future__ import annotations

import numpy as np
import pytest

from pose2id.errors import DataError
from pose2id.steps.base import FeatureSet
from pose2id.steps.fuse import fuse
from pose2id.tracklets import pool_tracklets

RNG = np.random.default_rng(0)
TRACKS = ["b", None, "a", "b", "a", None, "b"]
WEIGHTS = RNG.integers(0, 2, (7, 3)).astype(np.float32)
WEIGHTS[2] = WEIGHTS[4] = 0  # no drawing of track a was accepted
IMAGES = FeatureSet(
    RNG.normal(size=(7, 5)).astype(np.float32),
    np.array([3, 1, 2, 3, 2, 0, 3]),
    RNG.normal(size=(7, 3, 5)).astype(np.float32),
    WEIGHTS,
)
MEMBERS = {0: [0, 3, 6], 1: [1], 2: [2, 4], 5: [5]}


def test_a_track_is_the_mean_of_its_images() -> None:
    rows, pooled = pool_tracklets(IMAGES, TRACKS)
    assert rows.tolist() == list(MEMBERS)
    for place, members in enumerate(MEMBERS.values()):
        expected = IMAGES.features[members].astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(pooled.features[place], expected, atol=1e-6)
    assert pooled.cameras.tolist() == [3, 1, 2, 0]


def test_fusion_of_a_track_takes_all_its_accepted_drawings_alike() -> None:
    _, pooled = pool_tracklets(IMAGES, TRACKS)
    fused = fuse(pooled.features, pooled.drawings, eta=2.0, weights=pooled.drawing_weights)
    for place, members in enumerate(MEMBERS.values()):
        accepted = IMAGES.drawings[members][WEIGHTS[members] > 0]
        drawn = accepted.mean(axis=0) if len(accepted) else np.zeros(5)
        expected = IMAGES.features[members].mean(axis=0) + 2.0 * drawn
        np.testing.assert_allclose(
            fused[place], expected / np.linalg.norm(expected), atol=1e-5, err_msg=str(members)
        )


def test_images_of_no_track_stay_as_they_are() -> None:
    rows, pooled = pool_tracklets(IMAGES, [None] * 7)
    assert rows.tolist() == list(range(7))
    np.testing.assert_array_equal(pooled.features, IMAGES.features)
    drawn = IMAGES.drawings * (WEIGHTS > 0)[:, :, None]
    np.testing.assert_array_equal(pooled.drawings, drawn)
    np.testing.assert_array_equal(pooled.drawing_weights, WEIGHTS)


def test_tracks_must_be_as_many_as_images() -> None:
    with pytest.raises(DataError, match="7 features need 7 tracks, not 2"):
        pool_tracklets(IMAGES, ["a", "b"])
