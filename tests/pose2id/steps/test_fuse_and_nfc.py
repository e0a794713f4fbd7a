"""Fusion and NFC against the authors' outputs and against the formulas written as loops."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pose2id.errors import DataError, ParamsError
from pose2id.features import l2_normalize
from pose2id.neighbors import nearest_neighbors
from pose2id.steps.fuse import fuse
from pose2id.steps.nfc import mutual_neighbors, nfc

unhurried = settings(deadline=None, max_examples=50)  # machines may be busy
OFFICIAL = Path("../shared/fixtures/official/nfc.npz")


@pytest.fixture(scope="module")
def official():
    if not OFFICIAL.exists():
        pytest.skip(f"{OFFICIAL} is not here")
    return np.load(OFFICIAL)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def loop_nfc(x, k1, k2):
    """The formula, one image at a time, with neighbours by full stable sort."""
    squared = np.square(x[:, None].astype(np.float64) - x[None]).sum(axis=2).astype(np.float32)
    np.fill_diagonal(squared, np.inf)
    near = np.argsort(squared, axis=1, kind="stable")[:, :k1]
    out = x.astype(np.float64).copy()
    for i in range(len(x)):
        for j in near[i]:
            if i in near[j][:k2]:
                out[i] += x[j]
    return out


@pytest.mark.parametrize("k", ["2_2", "3_5", "5_3", "1_1", "2_1", "1_2", "6_6", "20_4"])
def test_equals_the_authors_outputs(official, k):
    k1, k2 = map(int, k.split("_"))
    x = l2_normalize(official["clustered/feat"])
    out = nfc(x, k1, k2, normalize=False)
    assert np.allclose(out, official[f"clustered/l2/k{k}"], rtol=0, atol=1e-6)


def test_equals_the_authors_evaluation_and_their_stand_alone_script(official):
    x = official["clustered/feat"]
    assert np.allclose(nfc(x), official["clustered/demo_k2_2"], rtol=0, atol=1e-6)
    for k in ("2_2", "3_5", "5_3"):
        raw = nfc(x, *map(int, k.split("_")), normalize=False)
        assert np.allclose(raw, official[f"clustered/raw/k{k}"], rtol=1e-6, atol=1e-6)


def test_neighbours_and_mutual_pairs_equal_the_authors(official):
    x = l2_normalize(official["clustered/feat"])
    for k1, k2 in ((2, 2), (3, 5), (5, 3)):
        ids = nearest_neighbors(x, k1).ids
        assert np.array_equal(ids, official[f"clustered/l2/rank_k{k1}_{k2}"])
        rows, slots = np.nonzero(mutual_neighbors(ids, k1, k2))
        ours = sorted(zip(rows.tolist(), ids[rows, slots].tolist(), strict=True))
        theirs = sorted(map(tuple, official[f"clustered/l2/mutual_k{k1}_{k2}"].tolist()))
        assert ours == theirs


def test_ties_keep_the_authors_distances_and_take_the_lower_index(official):
    for name in ("ties", "dups"):
        x = official[f"{name}/feat"]
        for key in official.files:
            if not (match := re.fullmatch(rf"{name}/rank_k(\d+)_(\d+)", key)):
                continue
            table = nearest_neighbors(x, int(match[1]))
            theirs = np.square(x[:, None] - x[official[key]]).sum(axis=2)
            assert np.allclose(table.sq_distances, theirs)
            assert np.allclose(
                nfc(x, int(match[1]), int(match[2]), normalize=False),
                loop_nfc(x, int(match[1]), int(match[2])),
            )


def test_far_apart_features_never_absorb_themselves(official):
    x = official["large/feat"]  # distances beyond 1000, where a finite diagonal goes wrong
    assert (nearest_neighbors(x, 6).ids != np.arange(len(x))[:, None]).all()
    assert np.allclose(nfc(x, 6, 6, normalize=False), loop_nfc(x, 6, 6), atol=1e-4)


@unhurried
@given(st.integers(0, 99), st.integers(1, 8), st.integers(1, 10))
def test_equals_the_loop_for_every_k(seed, k1, k2):
    x = np.round(normal(12, 3, seed=seed))
    assert np.allclose(nfc(x, k1, k2, normalize=False), loop_nfc(x, k1, k2))


@unhurried
@given(st.integers(0, 99), st.integers(1, 6))
def test_mutual_neighbours_are_symmetric_when_k1_equals_k2(seed, k):
    ids = nearest_neighbors(np.round(normal(14, 2, seed=seed)), k).ids
    rows, slots = np.nonzero(mutual_neighbors(ids, k, k))
    pairs = set(zip(rows.tolist(), ids[rows, slots].tolist(), strict=True))
    assert pairs == {(j, i) for i, j in pairs}


@unhurried
@given(st.integers(0, 99), st.permutations(range(15)))
def test_permuting_the_images_permutes_the_result(seed, order):
    x = normal(15, 4, seed=seed)
    assert np.allclose(nfc(x[order], 3, 2), nfc(x, 3, 2)[order], atol=1e-6)


def test_more_k2_than_k1_counts_as_k1():
    x = normal(40, 5)
    assert np.array_equal(nfc(x, 2, 9), nfc(x, 2, 2))


def test_duplicates_absorb_each_other():
    x = l2_normalize(normal(6, 4))
    twice = np.concatenate([x, x])
    assert np.allclose(nfc(twice, 1, 1), twice, atol=1e-6)


def test_a_given_table_is_used():
    x = l2_normalize(normal(50, 6))
    assert np.array_equal(nfc(x, 2, 2, neighbors=nearest_neighbors(x, 5)), nfc(x, 2, 2))
    with pytest.raises(DataError, match="holds only 2 neighbours"):
        nfc(x, 3, 2, neighbors=nearest_neighbors(x, 2))
    with pytest.raises(DataError, match="49 rows but there are 50 features"):
        nfc(x, 2, 2, neighbors=nearest_neighbors(x[1:], 2))


def test_too_few_images():
    with pytest.raises(DataError, match="needs more than 2 images; received 2"):
        nfc(normal(2, 3))
    with pytest.raises(ParamsError, match="k1 is 0"):
        nfc(normal(5, 3), 0, 2)


def test_zero_vectors_have_no_direction():
    x = normal(5, 3)
    x[3] = 0
    with pytest.raises(DataError, match=r"1 of 5 features are all zeros \(first row: 3\)"):
        l2_normalize(x)
    with pytest.raises(DataError, match="all zeros"):
        nfc(x)


def test_fusion_follows_both_published_forms():
    f, g = normal(4, 6), normal(4, 8, 6, seed=1)
    demo = f + 2 * g.mean(axis=1)
    text = f + 1 * g.sum(axis=1)
    assert np.allclose(fuse(f, g, eta=2), l2_normalize(demo), atol=1e-6)
    assert np.allclose(fuse(f, g, reduce="sum", eta=1), l2_normalize(text), atol=1e-6)
    assert np.allclose(fuse(f, g, eta=8), fuse(f, g, reduce="sum", eta=1), atol=1e-6)


def test_maximum_and_concatenation():
    f, g = normal(3, 4), normal(3, 2, 4, seed=1)
    assert np.allclose(
        fuse(f, g, reduce="max", eta=2), l2_normalize(f + 2 * g.max(axis=1)), atol=1e-6
    )
    wide = np.concatenate([f, 2 * g[:, 0], 2 * g[:, 1]], axis=1)
    assert np.allclose(fuse(f, g, reduce="concat", eta=2), l2_normalize(wide), atol=1e-6)


@pytest.mark.parametrize("reduce", ["mean", "sum", "max"])
def test_rejected_pictures_count_as_if_they_were_not_there(reduce):
    f, g = normal(3, 4), normal(3, 3, 4, seed=1)
    g[:, 1] = np.nan
    mask = np.array([[True, False, True]] * 3)
    fused = fuse(f, g, reduce=reduce, weights=mask)
    assert np.allclose(fused, fuse(f, g[:, [0, 2]], reduce=reduce), atol=1e-6)


@pytest.mark.parametrize("reduce", ["mean", "sum", "max"])
def test_a_row_without_accepted_pictures_keeps_the_original(reduce):
    f, g = normal(2, 4), normal(2, 3, 4, seed=1)
    mask = np.array([[False] * 3, [True] * 3])
    assert np.allclose(fuse(f, g, reduce=reduce, weights=mask)[0], l2_normalize(f)[0], atol=1e-6)
    assert np.allclose(fuse(f, np.empty((2, 0, 4)), reduce=reduce), l2_normalize(f), atol=1e-6)


def test_concatenation_fills_rejected_pictures_with_the_original():
    f, g = normal(1, 4), normal(1, 2, 4, seed=1)
    fused = fuse(f, g, reduce="concat", eta=2, weights=np.array([[False, True]]))
    expected = l2_normalize(np.concatenate([f, 2 * f, 2 * g[:, 1]], axis=1))
    assert np.allclose(fused, expected, atol=1e-6)


def test_weights_weigh():
    f, g = normal(1, 4), normal(1, 2, 4, seed=1)
    weights = np.array([[3.0, 1.0]])
    mean = f + 2 * (3 * g[:, 0] + g[:, 1]) / 4
    total = f + 2 * (3 * g[:, 0] + g[:, 1])
    assert np.allclose(fuse(f, g, eta=2, weights=weights), l2_normalize(mean), atol=1e-6)
    assert np.allclose(
        fuse(f, g, reduce="sum", eta=2, weights=weights), l2_normalize(total), atol=1e-6
    )


def test_unusable_fusions_are_refused():
    f, g = normal(2, 4), normal(2, 3, 4)
    with pytest.raises(DataError, match=r"shape \(2, M, 4\)"):
        fuse(f, g[:1])
    with pytest.raises(DataError, match="NaN or infinite"):
        fuse(f, np.where(np.arange(4) == 1, np.nan, g))
    with pytest.raises(DataError, match="weights must be non-negative"):
        fuse(f, g, weights=-np.ones((2, 3)))
    with pytest.raises(ParamsError, match="eta is -1"):
        fuse(f, g, eta=-1)
    with pytest.raises(ParamsError, match="allowed: mean, sum, max, concat"):
        fuse(f, g, reduce="median")
