"""The neighbour table kept between runs: what it saves, and that nothing shows it was used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pose2id.features import l2_normalize
from pose2id.neighbors import nearest_neighbors
from tasks.tables.neighbor_tables import KeptNeighbors, join_parts, search_part

N, K, MIB = 60, 3, 64


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "neighbors" / "gallery" / "raw.parquet"


@pytest.fixture
def images() -> tuple[list[str], np.ndarray]:
    rows = np.random.default_rng(0).standard_normal((N, 8)).astype(np.float32)
    return [f"gallery/{row:04d}" for row in range(N)], l2_normalize(rows)


def find(path, ids, features, k=K, search="exact", keep=True):
    kept = KeptNeighbors(path, ids, "cpu", keep=keep)
    return kept(features, k, search=search, memory_mib=MIB), kept.n_known


def check(path: Path, ids: list[str], features: np.ndarray, n_known: int) -> None:
    table, found = find(path, ids, features)
    fresh = nearest_neighbors(features, K)
    assert np.array_equal(table.ids, fresh.ids)
    assert np.array_equal(table.sq_distances, fresh.sq_distances)
    assert found == n_known


def test_images_that_arrive_change_leave_or_are_renamed(path, images):
    ids, features = images
    check(path, ids[:50], features[:50], 0)
    check(path, ids, features, 50)  # ten arrive
    check(path, ids[5:], features[5:], N - 5)  # five leave
    changed = features[5:].copy()
    changed[7] = changed[7][::-1]
    check(path, ids[5:], changed, N - 6)
    renamed = sorted([*ids[6:], "gallery/0000"])
    check(path, renamed, changed, N - 6)
    check(path, ids[5:], changed, N - 6)  # the old name is new again


def test_another_k_and_a_damaged_table_are_searched_anew(path, images):
    ids, features = images
    check(path, ids, features, 0)
    _, found = find(path, ids, features, k=K + 1)
    assert found == 0
    check(path, ids, features, 0)
    path.write_bytes(path.read_bytes()[:100])
    check(path, ids, features, 0)


def test_an_approximate_table_is_never_taken_over(path, images):
    pytest.importorskip("faiss")
    ids, features = images
    for _ in range(2):
        _, found = find(path, ids, features, search="hnsw")
        assert found == 0
    assert not path.exists()


def test_a_table_of_another_split_is_read_but_not_written(path, images):
    ids, features = images
    find(path, ids, features, keep=False)
    assert not path.exists()
    check(path, ids, features, 0)
    assert find(path, ids, features, keep=False)[1] == N


@pytest.mark.parametrize("n_shards", [1, 3, N + 5])
def test_parts_joined_are_the_whole_table(path, images, n_shards):
    ids, features = images
    for known in (0, 50):  # the second time with a table of the last run
        if known:
            path.unlink()
            check(path, ids[:50], features[:50], 0)
        parts = [
            search_part(path, ids, features, K, MIB, "cpu", i, n_shards) for i in range(n_shards)
        ]
        assert sum(parts) == N
        join_parts(path, n_shards)
        check(path, ids, features, N)
        assert list(path.parent.glob("*part*")) == []
