"""NFC under noise, and the steps that look at cameras, neighbours and spread."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pose2id.errors import DataError, ParamsError
from pose2id.features import l2_normalize
from pose2id.metrics import evaluate
from pose2id.neighbors import nearest_neighbors
from pose2id.steps.base import FeatureSet, Surroundings
from pose2id.steps.camera_normalize import camera_normalize
from pose2id.steps.kwf import kwf, neighbor_weights
from pose2id.steps.nfc import STEP, NfcParams, nfc
from pose2id.steps.query_expansion import query_expansion
from pose2id.steps.whiten import whiten


def people(n_people: int, per_person: int, dim: int = 32, seed: int = 0):
    rng = np.random.default_rng(seed)
    pids = np.repeat(np.arange(n_people), per_person)
    centres = rng.standard_normal((n_people, dim))
    return l2_normalize(centres[pids] + rng.normal(0, 0.7, (len(pids), dim))), pids


def test_images_with_the_same_mutual_set_get_the_same_feature_to_the_bit():
    x, _ = people(40, 3)
    made = nfc(x, 2, 2)
    twins = [rows for rows in made.reshape(40, 3, -1) if np.allclose(rows[0], rows[1], atol=1e-5)]
    assert twins
    assert all(np.array_equal(rows[0], rows[1]) for rows in twins)


@pytest.mark.parametrize("noise", [3e-8, 1e-6, 1e-5])
def test_scores_after_nfc_do_not_hang_on_last_bits(noise):
    x, pids = people(60, 4)
    queries = np.arange(0, len(x), 4)
    gallery = np.setdiff1d(np.arange(len(x)), queries)

    def score(features):
        q, g = nfc(features[queries], 1, 1), nfc(features[gallery], 2, 2)
        result = evaluate(q, g, query_pids=pids[queries], gallery_pids=pids[gallery])
        return result.mAP, result.rank(1)

    expected = score(x)
    rng = np.random.default_rng(1)
    for _ in range(5):
        moved = x + rng.normal(0, noise, x.shape).astype(np.float32)
        assert score(moved) == pytest.approx(expected, abs=1e-9)


def test_opposite_features_that_cancel_stay_as_they_are():
    x = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert np.array_equal(nfc(x, 1, 1), x)


def test_tiny_and_huge_features_have_a_direction():
    for size in (1e-60, 1e-300, 1e200):
        assert np.allclose(l2_normalize(np.array([[3.0, 4.0]]) * size), [[0.6, 0.8]])
    with pytest.raises(DataError, match="all zeros"):
        l2_normalize(np.zeros((2, 3)))


def test_normalizing_twice_is_normalizing_once():
    once = l2_normalize(np.random.default_rng(0).standard_normal((500, 7)))
    assert np.array_equal(l2_normalize(once), once)


def test_camera_normalization_takes_out_what_a_camera_adds():
    x, pids = people(50, 4)
    cameras = np.tile([0, 1, 2, 3], 50)
    biased = x + np.random.default_rng(1).normal(0, 3, (4, x.shape[1]))[cameras]
    q, g = cameras == 0, cameras > 0

    def score(features):
        sides = l2_normalize(features[q]), l2_normalize(features[g])
        return evaluate(*sides, query_pids=pids[q], gallery_pids=pids[g]).mAP

    plain, better = score(biased), score(camera_normalize(biased, cameras, shrinkage=0.5))
    assert plain < 0.2 * score(x)
    assert better > 0.9 * score(x)


@pytest.mark.parametrize("n", [1, 3, 10])
def test_a_camera_with_few_pictures_is_treated_nearly_as_the_whole_set(n):
    x, _ = people(30, 4)
    cameras = np.zeros(len(x), np.int64)
    cameras[:n] = 1
    whole = camera_normalize(x, np.full(len(x), -1))
    few = camera_normalize(x, cameras, shrinkage=1000)
    assert np.abs(few - whole)[:n].max() < 0.1
    assert np.isfinite(camera_normalize(x, cameras, shrinkage=0)).all()


def test_dead_dimensions_and_strange_cameras_are_harmless():
    x, _ = people(10, 2)
    x[:, 3] = 0.25
    out = camera_normalize(x, np.arange(20) % 2)
    assert (out[:, 3] == 0).all()
    other = camera_normalize(x, np.full(20, 9), reference=x, reference_camids=np.zeros(20, int))
    assert np.array_equal(other, camera_normalize(x, np.full(20, -1)))
    with pytest.raises(ParamsError, match="go together"):
        camera_normalize(x, np.zeros(20, int), reference=x)
    with pytest.raises(DataError, match="camids must be 20"):
        camera_normalize(x, np.zeros(20))


def test_query_expansion_averages_the_nearest_gallery_images():
    x, _ = people(5, 6)
    expanded = query_expansion(x[:4], k=2, alpha=0, reference=x[4:])
    for query, row in zip(x[:4], expanded, strict=True):
        near = np.argsort(np.square(x[4:] - query).sum(axis=1))[:2]
        expected = query + x[4:][near].sum(axis=0)
        assert np.allclose(row, expected / np.linalg.norm(expected), atol=1e-6)
    weighted = query_expansion(x[:4], k=2, alpha=3, reference=x[4:])
    assert not np.allclose(weighted, expanded)


@pytest.mark.parametrize("weights", ["uniform", "inverse_distance", "exponential"])
def test_kwf_equals_a_plain_loop(weights):
    x, _ = people(5, 6)
    made = kwf(x, 3, weights=weights, strength=2.0)
    for i, row in enumerate(made):
        squares = np.square(x.astype(np.float64) - x[i]).sum(axis=1)
        squares[i] = np.inf
        near = np.argsort(squares)[:3]
        shares = neighbor_weights(squares[None, near].astype(np.float32), weights)[0]
        expected = x[i] + 2 * (shares[:, None] * x[near]).sum(axis=0)
        assert np.allclose(row, expected / np.linalg.norm(expected), atol=1e-6)


def test_whitening_makes_the_spread_even():
    x = np.random.default_rng(0).standard_normal((400, 6)) * [9, 5, 3, 1, 0.5, 0.1]
    spread = np.cov(whiten(x, shrinkage=0).T)
    assert np.allclose(spread, np.eye(6), atol=0.02)
    assert whiten(x, dims=3).shape == (400, 3)
    with pytest.raises(DataError, match="nothing to whiten"):
        whiten(np.ones((5, 4)))


def test_nfc_searches_with_the_effort_asked_for_and_says_what_it_found():
    x, _ = people(20, 3)
    asked = []

    def find(features, k, *, search, effort, memory_mib):
        asked.append((search, effort))
        return replace(nearest_neighbors(features, k, memory_mib=memory_mib), recall=0.75)

    params = NfcParams(k1=2, k2=2, search="ivf", effort=64)
    found = STEP.apply(FeatureSet(x), params, Surroundings(FeatureSet(x), find))
    assert asked == [("ivf", 64)]
    assert "effort 64 found 75.0 %" in found.notes[-1]
    with pytest.raises(ParamsError, match="effort"):
        NfcParams(effort=0)
