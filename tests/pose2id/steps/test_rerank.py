"""Re-ranking against the authors' outputs and the dense procedure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.peers import dense_rerank
from pose2id.errors import DataError, ParamsError
from pose2id.features import l2_normalize
from pose2id.metrics import Labels, evaluate
from pose2id.neighbors import nearest_neighbors
from pose2id.steps.rerank import k_reciprocal

OFFICIAL = Path("../shared/fixtures/official/reid_metrics.npz")


@pytest.fixture(scope="module")
def official():
    if not OFFICIAL.exists():
        pytest.skip(f"{OFFICIAL} is not here")
    return np.load(OFFICIAL)


def clusters(n, dim=8, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((max(1, n // 6), dim))
    return l2_normalize(centers[rng.integers(0, len(centers), n)] + rng.normal(0, 0.4, (n, dim)))


@pytest.mark.parametrize("kind", ["raw", "l2"])
@pytest.mark.parametrize(("k1", "k2", "weight"), [(20, 6, 0.3), (50, 15, 0.3), (7, 1, 0.5)])
def test_half_precision_equals_the_authors_outputs(official, kind, k1, k2, weight):
    n, pids, cams = int(official["num_query"]), official["pids"], official["camids"]
    x = official["feat"] if kind == "raw" else l2_normalize(official["feat"])
    source = k_reciprocal(x[:n], x[n:], k1, k2, weight, precision="float16")
    key = f"{kind}/rerank_{k1}_{k2}_{weight}"
    assert np.allclose(source.block(0, n), official[key], rtol=0, atol=1e-4)
    result = evaluate(
        source,
        query_labels=Labels(pids[:n], cams[:n]),
        gallery_labels=Labels(pids[n:], cams[n:]),
    )
    assert result.mAP == pytest.approx(float(official[f"{key}/mAP"]), abs=1e-4)


@pytest.mark.parametrize(("k1", "k2", "weight"), [(20, 6, 0.3), (50, 15, 0.3), (7, 1, 0.5)])
def test_equals_the_dense_procedure_in_full_precision(official, k1, k2, weight):
    n, x = int(official["num_query"]), l2_normalize(official["feat"])
    ours = k_reciprocal(x[:n], x[n:], k1, k2, weight).block(0, n)
    dense = dense_rerank(x[:n], x[n:], k1, k2, weight, np.float32)
    assert np.allclose(ours, dense, rtol=0, atol=2e-6)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 999), st.integers(1, 12), st.integers(1, 7), st.floats(0, 1))
def test_equals_the_dense_procedure_on_random_clusters(seed, k1, k2, weight):
    x = clusters(40, seed=seed)
    ours = k_reciprocal(x[:9], x[9:], k1, k2, weight).block(0, 9)
    dense = dense_rerank(x[:9], x[9:], k1, k2, weight, np.float32)
    assert np.allclose(ours, dense, rtol=0, atol=2e-6)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_exact_values_lie_within_the_tolerance_of_the_blocks(precision):
    x = clusters(80)
    source = k_reciprocal(x[:20], x[20:], 10, 3, precision=precision)
    queries, gallery = np.divmod(np.arange(20 * 60), 60)
    exact = source.exact(queries, gallery).reshape(20, 60)
    gap = np.abs(source.block(0, 20) - exact)
    assert (gap <= source.tolerance[:, None]).all()


def test_block_size_changes_no_rank():
    x = clusters(90)
    x[60:70] = x[20:30]  # exact ties
    source = k_reciprocal(x[:20], x[20:], 10, 3)
    pids = np.arange(90) % 7
    whole = evaluate(source, query_pids=pids[:20], gallery_pids=pids[20:])
    single = evaluate(source, query_pids=pids[:20], gallery_pids=pids[20:], memory_mib=0)
    assert np.array_equal(whole.rankings.gallery, single.rankings.gallery)
    assert np.array_equal(whole.rankings.distance, single.rankings.distance)
    assert np.array_equal(whole.ap, single.ap)


def test_lambda_one_is_the_scaled_original_distance():
    x = clusters(30)
    block = k_reciprocal(x[:5], x[5:], 4, 2, 1.0).block(0, 5)
    squared = np.square(x[:5, None] - x[None]).sum(axis=2)
    assert np.allclose(block, squared[:, 5:] / squared.max(axis=1, keepdims=True), atol=1e-6)


def test_a_given_table_is_used_and_checked():
    x = clusters(40)
    table = nearest_neighbors(x, 12, farthest=True)
    given_table = k_reciprocal(x[:9], x[9:], 8, 3, neighbors=table).block(0, 9)
    assert np.array_equal(given_table, k_reciprocal(x[:9], x[9:], 8, 3).block(0, 9))
    with pytest.raises(DataError, match="k >= 13"):
        k_reciprocal(x[:9], x[9:], 13, 3, neighbors=table)
    with pytest.raises(DataError, match="farthest"):
        k_reciprocal(x[:9], x[9:], 8, 3, neighbors=nearest_neighbors(x, 12))


def test_identical_images_are_all_equally_near():
    x = np.ones((8, 4), dtype=np.float32)
    block = k_reciprocal(x[:2], x[2:], 3, 2).block(0, 2)
    assert np.isfinite(block).all()


def test_unusable_parameters_are_refused():
    x = clusters(10)
    with pytest.raises(DataError, match="choose k <= 9"):
        k_reciprocal(x[:3], x[3:], 20, 6)
    with pytest.raises(ParamsError, match="lambda is 2"):
        k_reciprocal(x[:3], x[3:], 3, 2, 2)
    with pytest.raises(ParamsError, match="allowed: float32, float16"):
        k_reciprocal(x[:3], x[3:], 3, 2, precision="int8")


@pytest.mark.parametrize("lambda_value", [0.0, 0.3, 0.7, 1.0])
def test_images_that_coincide_are_at_zero_and_not_below(lambda_value):
    rng = np.random.default_rng(0)
    features = np.repeat(l2_normalize(rng.standard_normal((3, 8))), 4, axis=0)
    for k1, k2 in ((3, 1), (3, 2), (11, 6)):
        source = k_reciprocal(features, features, k1, k2, lambda_value)
        rows, columns = np.divmod(np.arange(12 * 12), 12)
        assert source.exact(rows, columns).min() >= 0
        assert source.block(0, 12).min() >= 0
    one = np.repeat(features[:1], 4, axis=0)
    assert (k_reciprocal(one[:2], one[2:], 3, 1, lambda_value).block(0, 2) == 0).all()


def test_without_labels_re_ranked_lists_are_given():
    x = np.random.default_rng(0).standard_normal((12, 4))
    lists = evaluate(k_reciprocal(x[:4], x[4:], 3, 2)).rankings
    assert lists.gallery.shape == (4, 8)
    assert k_reciprocal(x[:4], x[4:], 3, 2).exact(np.empty(0, int), np.empty(0, int)).size == 0
