"""Intervals of paired differences in AP."""

from __future__ import annotations

import numpy as np
import pytest

from pose2id.bootstrap import paired_bootstrap
from pose2id.errors import DataError, ParamsError


def test_the_interval_covers_the_true_gain_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        base = rng.random(60)
        low, high = paired_bootstrap(base, base + rng.normal(0.05, 0.1, 60), 300)[1:]
        covered += low <= 0.05 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_pairing_makes_the_interval_as_narrow_as_the_differences():
    base = np.random.default_rng(0).random(500)  # hard and easy queries
    delta, low, high = paired_bootstrap(base, base + 0.01)
    assert (delta, low, high) == pytest.approx((0.01, 0.01, 0.01))


def test_a_seed_repeats_and_another_differs():
    rng = np.random.default_rng(0)
    base, variant = rng.random(50), rng.random(50)
    assert paired_bootstrap(base, variant, 500) == paired_bootstrap(base, variant, 500)
    assert paired_bootstrap(base, variant, 500) != paired_bootstrap(base, variant, 500, seed=1)


def test_queries_without_a_positive_count_on_neither_side():
    base, variant = np.array([0.2, np.nan, 0.4]), np.array([0.3, np.nan, 0.6])
    assert paired_bootstrap(base, variant, 200) == paired_bootstrap(base[::2], variant[::2], 200)


def test_a_wider_level_gives_a_wider_interval():
    rng = np.random.default_rng(0)
    base, variant = rng.random(80), rng.random(80)
    narrow = paired_bootstrap(base, variant, 1000, level=0.5)
    wide = paired_bootstrap(base, variant, 1000, level=0.99)
    assert wide[1] < narrow[1] < narrow[2] < wide[2]


def test_unusable_input_is_refused():
    with pytest.raises(DataError, match="same queries"):
        paired_bootstrap(np.ones(3), np.ones(2))
    with pytest.raises(DataError, match="different queries"):
        paired_bootstrap(np.array([1, np.nan]), np.array([np.nan, 1]))
    with pytest.raises(DataError, match="no query has a positive"):
        paired_bootstrap(np.array([np.nan]), np.array([np.nan]))
    with pytest.raises(ParamsError, match="n_resamples is 0"):
        paired_bootstrap(np.ones(3), np.ones(3), 0)
