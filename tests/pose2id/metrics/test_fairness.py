"""Ties, images that meet themselves, labels that lack, and distances in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pose2id.errors import DataError
from pose2id.metrics import Labels, MatrixDistances, evaluate


def test_double_precision_is_kept():
    distances = np.array([[1 + 1e-12, 1.0, 2e39]])  # float32 would see a tie and an infinity
    ours = evaluate(distances, query_pids=[1], gallery_pids=[2, 1, 3])
    assert ours.first_hit_rank.tolist() == [1]
    assert ours.rankings.gallery.tolist() == [[1, 0, 2]]
    assert ours.rankings.distance.tolist() == [[1.0, 1 + 1e-12, 2e39]]
    assert MatrixDistances(np.ones((1, 2), np.float32)).block(0, 1).dtype == np.float32
    assert MatrixDistances(np.ones((1, 2), np.float16)).block(0, 1).dtype == np.float32
    assert MatrixDistances([[1, 2]]).block(0, 1).dtype == np.float64
    with pytest.raises(DataError, match="would lose digits"):
        MatrixDistances(np.ones((1, 2), np.longdouble))
    with pytest.raises(DataError, match="would lose digits"):
        MatrixDistances(np.array([[2**60 + 1]]))


def test_tensors_are_taken_with_and_without_gradients():
    rng = np.random.default_rng(0)
    query, gallery = rng.standard_normal((4, 8)), rng.standard_normal((20, 8))
    pids = {"query_pids": np.arange(4), "gallery_pids": np.arange(20) % 5}
    plain = evaluate(query.astype("f4"), gallery.astype("f4"), **pids)
    tensors = {name: torch.from_numpy(column) for name, column in pids.items()}
    given = evaluate(
        torch.from_numpy(query).float().requires_grad_(),
        torch.from_numpy(gallery).float(),
        **tensors,
    )
    assert np.array_equal(plain.ap, given.ap)
    halves = torch.ones(1, 2, dtype=torch.bfloat16)
    assert evaluate(halves, query_pids=[1], gallery_pids=[2, 1]).ap.tolist() == [0.5]


def test_ties_favour_nobody_where_images_have_names():
    n_people = 40
    names = np.array([f"{pid:04d}_c1" for pid in range(n_people)])
    labels = {
        "query_labels": Labels(np.arange(n_people), image_ids=[f"q{i}" for i in range(n_people)]),
        "protocol": "none",
    }
    tied = np.zeros((n_people, n_people))
    ours = evaluate(tied, gallery_labels=Labels(np.arange(n_people), image_ids=names), **labels)
    places = ours.first_hit_rank
    assert sorted(places.tolist()) == list(range(1, n_people + 1))
    assert abs(np.corrcoef(places, np.arange(n_people))[0, 1]) < 0.4
    by_index = evaluate(tied, gallery_labels=Labels(np.arange(n_people)), **labels)
    assert by_index.first_hit_rank.tolist() == list(range(1, n_people + 1))
    # the order of rows does not matter, and lists agree with ranks
    order = np.random.default_rng(0).permutation(n_people)
    moved = evaluate(tied, gallery_labels=Labels(order, image_ids=names[order]), **labels)
    assert np.array_equal(moved.first_hit_rank, places)
    assert np.array_equal(order[moved.rankings.gallery], ours.rankings.gallery)
    found = [row.index(pid) + 1 for pid, row in enumerate(ours.rankings.gallery.tolist())]
    assert found == places.tolist()


@pytest.mark.parametrize("protocol", ["single_gallery_shot", "sysu_mm01_all_1shot_seeded", "prcc"])
def test_draws_and_person_counts_break_ties_in_the_same_order(protocol):
    rng = np.random.default_rng(3)
    pids, ids = np.arange(30), np.array([f"{i:02d}" for i in range(30)])
    distances = rng.integers(0, 3, (8, 30)).astype(float)
    labels = Labels(pids, np.ones(30, int), image_ids=ids)
    ours = evaluate(
        distances,
        query_labels=Labels(pids[:8], np.full(8, 6)),
        gallery_labels=labels,
        protocol=protocol,
    )
    listed = evaluate(distances, gallery_labels=labels).rankings.gallery  # one image per person
    assert ours.first_hit_rank.tolist() == [list(row).index(q) + 1 for q, row in enumerate(listed)]


def test_no_image_finds_itself():
    rng = np.random.default_rng(0)
    features, pids = rng.standard_normal((300, 16)), np.arange(300) % 30
    itself = evaluate(features, features, query_pids=pids, gallery_pids=pids)
    assert itself.rank(1) == 1
    labels = Labels(pids, image_ids=np.arange(300))
    ours = evaluate(features, features, query_labels=labels, gallery_labels=labels)
    assert ours.rank(1) < 0.15
    assert set(ours.n_positives.tolist()) == {9}
    assert ours.rankings.is_junk[:, 0].all()
    some = labels.take(np.arange(0, 300, 3))
    part = evaluate(features[::3], features, query_labels=some, gallery_labels=labels)
    assert np.array_equal(part.ap, ours.ap[::3])


def nothing(**options) -> str:
    ours = evaluate(np.array([[0.2, 0.1]]), false_positive_rates=(0.1,), **options)
    assert ours.rankings.gallery.tolist() == [[1, 0]]
    assert np.isnan([ours.mAP, ours.mINP, ours.mAP_std, ours.rank(1), ours.rank_std(1)]).all()
    assert np.isnan(ours.ap).all()
    assert not ours.valid.any()
    assert ours.first_hit_rank.tolist() == [0]
    return " ".join(ours.notes)


def test_where_nothing_can_be_measured_there_are_lists_and_a_sentence():
    one, other = {"query_pids": [1]}, {"query_pids": [9]}
    gallery = {"gallery_pids": [1, 2]}
    assert "no person ids" in nothing()
    assert "no person ids" in nothing(**one)
    assert "no person ids" in nothing(query_pids=[-1], **gallery)
    assert "no person ids" in nothing(**one, gallery_pids=[-1, -1], protocol="clothes_changed")
    assert "share no person" in nothing(**other, **gallery)
    cameras = {"query_camids": [0], "gallery_camids": [0, 0]}
    sentence = nothing(**one, **gallery, **cameras)
    assert "images of the query's own camera, and those are all 1 pairs" in sentence
    assert 'with protocol "none"' in sentence
    assert "distractors alone" in nothing(**one, **gallery, distractors=np.array([True, True]))
    assert "no camera ids" in nothing(**other, **gallery)
    for protocol in ("regdb", "viper", "prcc", "single_gallery_shot", "cuhk03_classic", "none"):
        assert "share no person" in nothing(**other, **gallery, protocol=protocol)


def test_some_queries_without_a_match_are_counted():
    ours = evaluate(
        np.array([[0.2, 0.1]] * 2), query_pids=[1, 9], gallery_pids=[1, 2], protocol="none"
    )
    assert ours.notes == ("1 of 2 queries have no match that they may see and leave every mean",)
    assert ours.mAP == 0.5


def test_one_modality_on_both_sides_is_noted():
    ours = evaluate(
        np.eye(2),
        query_labels=Labels([1, 2], modality=["visible", "infrared"]),
        gallery_labels=Labels([1, 2], modality=["visible", "visible"]),
        protocol="regdb",
    )
    assert "both hold visible images" in " ".join(ours.notes)


def test_both_directions_of_a_foreign_source_must_be_given():
    class Source:
        def __init__(self, matrix):
            inner = MatrixDistances(matrix)
            self.shape, self.tolerance = inner.shape, inner.tolerance
            self.block, self.exact = inner.block, inner.exact

    rng = np.random.default_rng(0)
    matrix = rng.random((4, 6))
    options = {"query_pids": range(4), "gallery_pids": [0, 1, 2, 3, 0, 1], "protocol": "regdb"}
    with pytest.raises(DataError, match=r"backward=\.\.\."):
        evaluate(Source(matrix), **options)
    with pytest.raises(DataError, match=r"it must be \(6, 4\)"):
        evaluate(Source(matrix), **options, backward=Source(matrix))
    given = evaluate(Source(matrix), **options, backward=Source(matrix.T))
    assert given.mAP == evaluate(matrix, **options).mAP
