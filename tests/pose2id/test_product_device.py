"""Large products may run on a CUDA card; what they decide is the same to the bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pose2id.devices import product_device
from pose2id.errors import ParamsError
from pose2id.metrics import evaluate
from pose2id.neighbors import nearest_neighbors, update_neighbors
from pose2id.steps.rerank import RerankParams
from pose2id.steps.scoring import chain_distances
from tasks.tables.neighbor_tables import KeptNeighbors, search_part

has_cuda = torch.cuda.is_available()
PIDS = np.arange(300) % 40
CHAINS = [(), ("rerank",)]


@pytest.fixture
def by_torch(monkeypatch):
    """No set is small enough for numpy."""
    monkeypatch.setattr("pose2id.distances._SMALL", 0)


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    noisy = rng.standard_normal((40, 64))[PIDS] + rng.standard_normal((300, 64))
    noisy[:20] = noisy[20:40]  # exact ties
    return noisy.astype(np.float32)


def lists(features, chain, device):
    """The ranked lists of the first 60 against the others, and their scores."""
    query, gallery = features[:60], features[60:]
    distances, _ = chain_distances(query, gallery, chain, {"rerank": RerankParams()}, device)
    found = evaluate(distances, query_pids=PIDS[:60], gallery_pids=PIDS[60:], top_k=20)
    return found.mAP, found.cmc.tolist(), found.rankings.gallery.tolist()


def same_tables(features, device):
    """The tables of a device are those of the CPU, farthest distances and updates too."""
    mine = nearest_neighbors(features, 9, memory_mib=1, device=device, farthest=True)
    plain = nearest_neighbors(features, 9, memory_mib=1, farthest=True)
    np.testing.assert_array_equal(mine.ids, plain.ids)
    np.testing.assert_array_equal(mine.sq_distances, plain.sq_distances)
    np.testing.assert_array_equal(mine.farthest_sq, plain.farthest_sq)
    old = nearest_neighbors(features[:200], 9, device=device)
    origin = np.where(np.arange(300) < 200, np.arange(300), -1)
    np.testing.assert_array_equal(
        update_neighbors(old, features, origin, device=device).ids, plain.ids
    )


@pytest.mark.skipif(not has_cuda, reason="needs a CUDA card")
def test_a_card_finds_the_same_neighbours(by_torch, features):
    same_tables(features, "cuda")
    same_tables(features, "auto")


@pytest.mark.skipif(not has_cuda, reason="needs a CUDA card")
@pytest.mark.parametrize("chain", CHAINS)
def test_a_card_ranks_the_same(by_torch, features, chain):
    assert lists(features, chain, "cuda") == lists(features, chain, "cpu")


@pytest.mark.parametrize("chain", CHAINS)
def test_the_product_of_a_card_ranks_the_same_on_the_cpu(by_torch, features, chain, monkeypatch):
    expected = lists(features, chain, "cpu")
    # A card's operands are plain tensors, those of the CPU are packed for oneDNN.
    monkeypatch.setattr("pose2id.distances.onednn_operand", lambda tensor: tensor)
    assert lists(features, chain, "cpu") == expected


def test_only_a_card_takes_the_products_from_the_cpu():
    assert product_device("auto").type == ("cuda" if has_cuda else "cpu")
    assert product_device("mps").type == "cpu"


@pytest.mark.skipif(has_cuda, reason="needs a machine without a CUDA card")
def test_a_card_that_is_asked_for_and_lacking_is_missed_wherever_it_would_compute(
    by_torch, features, tmp_path: Path
):
    names = [f"{i:04d}" for i in range(len(features))]
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    kept = KeptNeighbors(tmp_path / "kept.parquet", names, "cuda", keep=True)
    for compute in (
        lambda: lists(features, (), "cuda"),
        lambda: lists(features, ("rerank",), "cuda"),
        lambda: kept(unit, 3, search="exact", memory_mib=16),
        lambda: search_part(tmp_path / "kept.parquet", names, unit, 3, 16, "cuda", 0, 2),
    ):
        with pytest.raises(ParamsError, match="cuda"):
            compute()
