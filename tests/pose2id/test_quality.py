"""Measures of pictures and features against values worked out another way."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pose2id.quality import (
    FeatureStatistics,
    cosine_similarity,
    feature_drift,
    grey_levels,
    pixel_std,
    pose_differences,
    thumbnail,
)

RNG = np.random.default_rng(3)


def test_a_blank_picture_has_no_deviation_and_noise_has() -> None:
    blank = Image.new("RGB", (40, 80), (12, 200, 7))
    noise = Image.fromarray(RNG.integers(0, 255, (80, 40, 3), np.uint8))
    assert pixel_std(grey_levels(blank)) == 0
    assert pixel_std(grey_levels(noise)) == pytest.approx(np.std(np.asarray(noise.convert("L"))))


def test_thumbnails_average_blocks() -> None:
    levels = RNG.integers(0, 255, (128, 64), np.uint8)
    expected = levels.reshape(32, 4, 16, 4).mean(axis=(1, 3))
    found = thumbnail(Image.fromarray(levels).convert("RGB"))
    assert np.abs(found - expected).max() <= 1  # rounded once per direction


def test_pose_differences_look_back_only() -> None:
    boards = RNG.integers(0, 255, (4, 32, 16), np.uint8)
    boards[3] = boards[1]
    found = pose_differences(boards)
    pairs = np.abs(boards[:, None].astype(float) - boards[None]).mean(axis=(2, 3))
    expected = [np.nan, pairs[1, 0], pairs[2, :2].min(), 0.0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_cosine_similarity_is_that_of_unit_rows() -> None:
    a, b = RNG.normal(size=(2, 20, 7)).astype(np.float32)
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (a, b)]
    np.testing.assert_allclose(cosine_similarity(a, b), (unit[0] * unit[1]).sum(1), atol=1e-6)


def test_cosine_similarity_of_what_is_not_finite_is_unknown() -> None:
    rows = np.array([[np.nan, 1], [np.inf, 1], [0, 0], [3e38, 3e38]], np.float32)
    found = cosine_similarity(rows, np.ones((4, 2), np.float32))
    assert np.isnan(found[:3]).all()
    assert found[3] == pytest.approx(1)


def test_joined_statistics_are_those_of_all_rows_without_the_bad_ones() -> None:
    rows = (RNG.normal(size=(101, 5)) * 3 + 100).astype(np.float32)
    rows[17, 2] = np.nan
    good = np.delete(rows, 17, axis=0).astype(np.float64)
    found = FeatureStatistics.of(rows[:0])
    for part in (rows[:20], rows[20:21], rows[21:]):
        found = found.join(FeatureStatistics.of(part))
    assert found.n_rows == 100
    np.testing.assert_allclose(found.mean, good.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.std, good.std(axis=0), rtol=1e-9)


def test_chance_alone_is_no_drift_but_a_shift_or_a_spread_is() -> None:
    draw = RNG.normal(size=(3000, 16)).astype(np.float32)
    before = FeatureStatistics.of(draw[:1500])
    assert feature_drift(FeatureStatistics.of(draw[1500:]), before) < 0.05
    assert feature_drift(FeatureStatistics.of(draw[1500:] + 0.5), before) == pytest.approx(
        0.5, abs=0.05
    )
    assert feature_drift(FeatureStatistics.of(draw[1500:] * 2), before) == pytest.approx(
        np.log(2), abs=0.05
    )


def test_features_that_lost_all_spread_have_drifted_without_bound() -> None:
    before = FeatureStatistics.of(RNG.normal(size=(100, 4)).astype(np.float32))
    constant = FeatureStatistics.of(np.ones((100, 4), np.float32))
    assert feature_drift(constant, before) == np.inf
    assert feature_drift(constant, constant) == 0
