"""Exact neighbours against brute force, for every precision and block size; approximate recall."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pose2id.errors import DataError, ParamsError
from pose2id.neighbors import incremental, nearest_neighbors, update_neighbors
from pose2id.neighbors.exact import Problem

unhurried = settings(deadline=None, max_examples=50)  # machines may be busy


def random_features(n, dim, kind="plain", seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, dim)).astype(np.float32)
    if kind == "grid":  # many exact ties
        return np.round(x)
    if kind == "far":  # a common offset far larger than the differences
        return x + np.float32(30)
    if kind == "duplicates":
        x[rng.integers(0, n, n // 2)] = x[0]
    return x


def brute_force(features, k, queries=None):
    left = (features if queries is None else queries).astype(np.float64)
    squared = np.square(left[:, None] - features[None].astype(np.float64)).sum(axis=2)
    squared = squared.astype(np.float32)
    farthest = squared.max(axis=1)
    if queries is None:
        np.fill_diagonal(squared, np.inf)
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(squared, order, axis=1), farthest


@pytest.fixture
def by_torch(monkeypatch):
    """No set is small enough for numpy."""
    monkeypatch.setattr("pose2id.distances._SMALL", 0)


@pytest.fixture(params=["numpy", "float32", "bfloat16"])
def precision(request, monkeypatch):
    if request.param != "numpy":
        request.getfixturevalue("by_torch")
        monkeypatch.setattr(Problem, "dtype", lambda self: getattr(torch, request.param))


@pytest.mark.parametrize("kind", ["plain", "grid", "far", "duplicates"])
@pytest.mark.parametrize(("n", "dim", "k"), [(5, 3, 4), (300, 8, 5), (333, 64, 70)])
def test_equals_brute_force_in_every_precision(precision, kind, n, dim, k):
    x = random_features(n, dim, kind)
    table = nearest_neighbors(x, k, memory_mib=1, farthest=True)
    ids, squared, farthest = brute_force(x, k)
    assert np.array_equal(table.ids, ids)
    assert np.array_equal(table.sq_distances, squared)
    assert np.array_equal(table.farthest_sq, farthest)


@pytest.mark.parametrize("kind", ["plain", "grid", "duplicates"])
def test_queries_may_be_among_the_features(precision, kind):
    x = random_features(200, 8, kind)
    queries = np.concatenate([x[::7], random_features(13, 8, seed=1)])
    table = nearest_neighbors(x, 6, queries=queries)
    ids, squared, _ = brute_force(x, 6, queries)
    assert np.array_equal(table.ids, ids)
    assert np.array_equal(table.sq_distances, squared)


@unhurried
@given(hnp.arrays(np.int8, st.tuples(st.integers(3, 24), st.integers(1, 3))), st.data())
def test_ties_go_to_the_lower_index(grid, data):
    x = grid.astype(np.float32)
    k = data.draw(st.integers(1, len(x) - 1))
    assert np.array_equal(nearest_neighbors(x, k).ids, brute_force(x, k)[0])


def test_a_real_block_in_bfloat16_needs_no_patch():
    x = random_features(4200, 16)
    table = nearest_neighbors(x, 3)
    rows = np.arange(0, 4200, 70)
    squared = np.square(x[rows, None].astype(np.float64) - x[None]).sum(axis=2)
    squared[np.arange(len(rows)), rows] = np.inf
    order = np.argsort(squared.astype(np.float32), axis=1, kind="stable")[:, :3]
    assert np.array_equal(table.ids[rows], order)


def test_block_size_and_threads_change_nothing(by_torch):
    x = random_features(700, 32)
    tables = [nearest_neighbors(x, 4, memory_mib=mib) for mib in (1, 3, 256)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tables.append(nearest_neighbors(x, 4))
    torch.set_num_threads(threads)
    for table in tables[1:]:
        assert np.array_equal(table.ids, tables[0].ids)
        assert np.array_equal(table.sq_distances, tables[0].sq_distances)


def test_a_process_with_low_precision_products_gets_the_same_table(by_torch):
    x = random_features(300, 32, "far")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        table = nearest_neighbors(x, 4)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert np.array_equal(table.ids, brute_force(x, 4)[0])


@pytest.mark.parametrize("kind", ["plain", "grid", "duplicates"])
@pytest.mark.parametrize("k", [1, 5, 19])
@pytest.mark.parametrize("share_gone", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("share_new", [0.0, 0.1, 0.9])
def test_an_updated_table_equals_a_fresh_one(kind, k, share_gone, share_new):
    everything = random_features(200, 6, kind)
    rng = np.random.default_rng(1)
    was, stays = rng.random(200) >= share_new, rng.random(200) >= share_gone
    was[:20] = stays[:20] = True
    old = nearest_neighbors(everything[was], k)
    origin = np.where(was, np.cumsum(was) - 1, -1)[stays]
    updated = update_neighbors(old, everything[stays], origin)
    fresh = nearest_neighbors(everything[stays], k)
    assert np.array_equal(updated.ids, fresh.ids)
    assert np.array_equal(updated.sq_distances, fresh.sq_distances)


def test_pairs_that_were_there_before_are_not_computed_again(monkeypatch):
    x = random_features(200, 6)
    old, sizes = nearest_neighbors(x[:190], 3), []
    measured = incremental.exact_neighbors

    def spy(problem, *arguments, **options):
        sizes.append((len(problem.source), len(problem.features)))
        return measured(problem, *arguments, **options)

    monkeypatch.setattr(incremental, "exact_neighbors", spy)
    update_neighbors(old, x, np.r_[np.arange(190), np.full(10, -1)])
    assert sorted(sizes) == [(10, 200), (190, 10)]


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        ([0, 1], "2 origins of 12 rows"),
        ([1, 0, *range(2, 12)], "order"),
        ([*range(1, 13)], "order"),
    ],
)
def test_an_update_needs_to_know_where_each_row_was(origin, message):
    x = random_features(12, 4)
    with pytest.raises(DataError, match=message):
        update_neighbors(nearest_neighbors(x, 2), x, np.array(origin))


@pytest.mark.parametrize("method", ["ivf", "hnsw"])
def test_approximate_tables_measure_distances_and_recall(method):
    pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((100, 16)), 10, axis=0)
    x = (x + 0.1 * rng.standard_normal(x.shape)).astype(np.float32)
    table = nearest_neighbors(x, 3, method=method)
    ids, squared, _ = brute_force(x, 3)
    assert table.method == method
    assert table.recall == np.mean(table.sq_distances <= squared[:, -1:])
    assert table.recall > 0.9
    found = table.ids == ids
    assert np.array_equal(table.sq_distances[found], squared[found])
    assert (table.ids != np.arange(len(x))[:, None]).all()


@pytest.mark.parametrize("method", ["exact", "ivf", "hnsw"])
def test_neighbours_of_other_groups_only(method):
    pytest.importorskip("faiss")
    rng = np.random.default_rng(1)
    x = np.repeat(rng.standard_normal((60, 16)), 10, axis=0)
    x = (x + 0.1 * rng.standard_normal(x.shape)).astype(np.float32)
    groups = np.where(np.arange(len(x)) < 2, 5, np.arange(len(x)) % 3)
    table = nearest_neighbors(x, 3, method=method, groups=groups)
    squared = np.square(x[:, None].astype(np.float64) - x).sum(axis=2)
    squared[groups[:, None] == groups] = np.inf
    nearest = np.argsort(squared, axis=1, kind="stable")[:, :3]
    assert (groups[table.ids] != groups[:, None]).all()
    assert (table.ids == nearest).mean() > (0.999 if method == "exact" else 0.9)
    some = nearest_neighbors(x[:3], 2, method=method, groups=np.array([0, 0, 1]))
    assert some.ids.tolist()[:2] == [[2, -1], [2, -1]]
    assert np.isinf(some.sq_distances[:2, 1]).all()


def test_inverted_lists_are_the_same_on_any_number_of_threads():
    pytest.importorskip("faiss")
    torch = pytest.importorskip("torch")
    x = random_features(5000, 32)
    threads, tables = torch.get_num_threads(), []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            tables.append(nearest_neighbors(x, 4, method="ivf", effort=4))
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(tables[0].ids, tables[1].ids)
    assert 0.5 < tables[0].recall == tables[1].recall


def test_rows_that_an_index_leaves_short_are_searched_exactly():
    pytest.importorskip("faiss")
    x = random_features(400, 8)  # 10 lists of about 40: one list never holds 60 neighbours
    table = nearest_neighbors(x, 60, method="ivf", effort=1)
    assert np.array_equal(table.ids, brute_force(x, 60)[0])
    assert table.recall == 1.0


def test_asking_for_more_neighbours_than_images():
    with pytest.raises(DataError, match="choose k <= 4"):
        nearest_neighbors(random_features(5, 3), 5)
    assert nearest_neighbors(random_features(5, 3), 5, queries=np.zeros((1, 3))).k == 5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_unusable_values_are_named(bad):
    x = random_features(6, 3)
    x[4, 1] = bad
    with pytest.raises(DataError, match=r"1 of 6 rows .* \(first row: 4\)"):
        nearest_neighbors(x, 2)


def test_unusable_shapes_and_options():
    with pytest.raises(DataError, match=r"shape \(6,\)"):
        nearest_neighbors(np.zeros(6), 1)
    with pytest.raises(DataError, match="queries have 2 dimensions but features 3"):
        nearest_neighbors(np.zeros((4, 3)), 1, queries=np.zeros((1, 2)))
    with pytest.raises(ParamsError, match="k is 0"):
        nearest_neighbors(np.zeros((4, 3)), 0)
    with pytest.raises(ParamsError, match="allowed: exact, hnsw, ivf"):
        nearest_neighbors(np.zeros((4, 3)), 1, method="annoy")
