"""The second network: what its weight means, and what earlier steps do with its features."""

from __future__ import annotations

import numpy as np
import pytest

from pose2id.errors import DataError, ParamsError
from pose2id.features import l2_normalize
from pose2id.steps.base import FeatureSet
from pose2id.steps.camera_normalize import CameraNormalizeParams, camera_normalize
from pose2id.steps.chain import ChainRunner
from pose2id.steps.second_opinion import SecondOpinionParams, second_opinion
from pose2id.tracklets import pool_tracklets

RNG = np.random.default_rng(0)
OWN = RNG.normal(size=(8, 5)).astype(np.float32)
OTHER = RNG.normal(size=(8, 3)).astype(np.float32)
CAMERAS = np.arange(8) % 2


def test_cosines_are_the_weighted_mean_of_both_networks_cosines():
    both = second_opinion(OWN, OTHER, weight=0.5)
    first, other = l2_normalize(OWN), l2_normalize(OTHER)
    expected = (first @ first.T + 0.25 * other @ other.T) / 1.25
    np.testing.assert_allclose(both @ both.T, expected, atol=1e-6)


def test_without_weight_it_changes_no_distance():
    both = second_opinion(OWN, OTHER, weight=0)
    np.testing.assert_array_equal(both[:, :5], l2_normalize(OWN))
    assert not both[:, 5:].any()


@pytest.mark.parametrize(
    ("other", "weight", "error", "message"),
    [
        (OTHER[:7], 0.5, DataError, "8 features need as many second ones; received 7"),
        (OTHER * np.nan, 0.5, DataError, "NaN"),
        (OTHER, -1, ParamsError, "weight is -1; allowed: 0 to 100"),
        (OTHER, float("nan"), ParamsError, "weight is nan"),
    ],
)
def test_what_cannot_be_joined_is_refused(other, weight, error, message):
    with pytest.raises(error, match=message):
        second_opinion(OWN, other, weight=weight)


def test_both_networks_lose_their_cameras_before_they_are_joined():
    images = FeatureSet(OWN, CAMERAS, second=OTHER)
    chain = ("camera_normalize", "second_opinion")
    steps = {
        "camera_normalize": CameraNormalizeParams(reference="own", shrinkage=0),
        "second_opinion": SecondOpinionParams(weight=2),
    }
    found = ChainRunner({"query": images}.__getitem__, steps, {}).run("query", chain).features
    normalized = [camera_normalize(rows, CAMERAS, shrinkage=0) for rows in (OWN, OTHER)]
    np.testing.assert_allclose(found, second_opinion(*normalized, weight=2), atol=1e-6)


def test_a_constant_second_network_says_nothing_and_does_no_harm():
    alike = np.ones_like(OTHER)
    images = FeatureSet(OWN, CAMERAS, second=alike)
    runner = ChainRunner({"query": images}.__getitem__, {}, {"gallery": "query"})
    found = runner.run("query", ("camera_normalize", "second_opinion")).features
    alone = runner.run("query", ("camera_normalize",)).features
    ranks = np.argsort(found @ found.T, axis=1, kind="stable")
    np.testing.assert_array_equal(ranks, np.argsort(alone @ alone.T, axis=1, kind="stable"))


def test_without_a_second_network_it_says_what_to_do():
    runner = ChainRunner({"query": FeatureSet(OWN)}.__getitem__, {}, {})
    with pytest.raises(DataError, match=r"needs the features of a second network.*features.second"):
        runner.run("query", ("second_opinion",))


def test_second_features_go_where_their_images_go():
    images = FeatureSet(OWN, CAMERAS, second=OTHER)
    np.testing.assert_array_equal(images.take(np.array([5, 1])).second, OTHER[[5, 1]])
    _, pooled = pool_tracklets(images, ["a", "a", *[None] * 6])
    np.testing.assert_allclose(pooled.second[0], OTHER[:2].mean(axis=0), atol=1e-6)
    assert len(pooled.second) == 7
    with pytest.raises(DataError, match="8 features need 8 second ones; received 7"):
        FeatureSet(OWN, second=OTHER[:7])
