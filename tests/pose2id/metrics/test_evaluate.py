"""Scores against the authors' outputs and against sorting, looping references; ties included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pose2id.distances import pair_sq_distances
from pose2id.errors import DataError, ParamsError
from pose2id.features import l2_normalize
from pose2id.metrics import (
    FeatureDistances,
    Labels,
    MatrixDistances,
    evaluate,
    identity_density,
)

unhurried = settings(deadline=None, max_examples=50)  # machines may be busy
OFFICIAL = Path("../shared/fixtures/official")


@pytest.fixture(scope="module")
def official():
    if not OFFICIAL.exists():
        pytest.skip(f"{OFFICIAL} is not here")
    return np.load(OFFICIAL / "reid_metrics.npz")


@st.composite
def cases(draw):
    """Small labelled problems whose few distinct distances tie a lot."""
    seed = draw(st.integers(0, 10_000))
    n_queries, n_gallery = draw(st.integers(1, 5)), draw(st.integers(1, 14))
    rng = np.random.default_rng(seed)
    return {
        "distances": rng.integers(0, draw(st.integers(1, 8)), (n_queries, n_gallery)).astype("f4"),
        "query_pids": rng.integers(-1, 3, n_queries),
        "gallery_pids": rng.integers(-1, 3, n_gallery),
        "query_camids": rng.integers(-1, 2, n_queries),
        "gallery_camids": rng.integers(-1, 2, n_gallery),
        "distractors": rng.random(n_gallery) < 0.2,
    }


def reference(distances, query_pids, gallery_pids, query_camids, gallery_camids, distractors):
    """Full stable sort and plain loops: (ap, trapezoidal ap, inp, first hit) per query."""
    rows = []
    for q, row in enumerate(distances):
        hits = []
        for g in np.argsort(row, kind="stable"):
            same = gallery_pids[g] == query_pids[q] and query_pids[q] != -1 and not distractors[g]
            same_camera = gallery_camids[g] == query_camids[q] and query_camids[q] != -1
            if not (same and same_camera):
                hits.append(same)
        if not any(hits):
            rows.append((np.nan, np.nan, np.nan, 0))
            continue
        n, seen, area, trapezoids = sum(hits), 0, 0.0, 0.0
        previous = 1.0
        for position, hit in enumerate(hits, 1):
            seen += hit
            precision = seen / position
            if hit:
                area += precision / n
                trapezoids += (previous + precision) / 2 / n
                last = position
            previous = precision
        rows.append((area, trapezoids, n / last, hits.index(True) + 1))
    return np.array(rows)


def score(case, **options):
    labels = {name: value for name, value in case.items() if name != "distances"}
    return evaluate(MatrixDistances(case["distances"]), **labels, **options)


def sides(pids, cams, n):
    """Labels of joined arrays whose first n rows are queries, as `evaluate` takes them."""
    names = ("query_pids", "gallery_pids", "query_camids", "gallery_camids")
    return dict(zip(names, (pids[:n], pids[n:], cams[:n], cams[n:]), strict=True))


@unhurried
@given(cases())
def test_equals_sorting_and_looping(case):
    expected = reference(**case)
    if np.isnan(expected[:, 0]).all():
        nothing = score(case)
        assert np.isnan([nothing.mAP, nothing.mINP, nothing.rank(1)]).all()
        assert nothing.notes
        return
    plain, trapezoidal = score(case), score(case, protocol="trapezoidal")
    assert np.allclose(plain.ap, expected[:, 0], equal_nan=True)
    assert np.allclose(trapezoidal.ap, expected[:, 1], equal_nan=True)
    assert np.allclose(plain.inp, expected[:, 2], equal_nan=True)
    assert np.array_equal(plain.first_hit_rank, expected[:, 3])
    assert plain.mAP == pytest.approx(np.nanmean(expected[:, 0]))
    assert plain.mINP == pytest.approx(np.nanmean(expected[:, 2]))
    hits = expected[expected[:, 3] > 0, 3]
    for r in (1, 2, 5, 50):
        assert plain.rank(r) == pytest.approx(np.mean(hits <= r))


@unhurried
@given(cases(), st.integers(1, 16))
def test_ranked_lists_equal_a_stable_sort(case, k):
    case["query_pids"][0] = case["gallery_pids"][0] = 7  # at least one positive
    case["query_camids"][0] = -1
    case["distractors"][0] = False
    lists = score(case, top_k=k).rankings
    order = np.argsort(case["distances"], axis=1, kind="stable")[:, :k]
    assert np.array_equal(lists.gallery, order)
    assert np.array_equal(lists.distance, np.take_along_axis(case["distances"], order, axis=1))
    pids = np.where(case["distractors"], -1, case["gallery_pids"])[order]
    same = (pids == case["query_pids"][:, None]) & (pids != -1)
    cameras = case["gallery_camids"][order]
    same_camera = (cameras == case["query_camids"][:, None]) & (cameras != -1)
    assert np.array_equal(lists.is_match, same & ~same_camera)
    assert np.array_equal(lists.is_junk, same & same_camera)


@unhurried
@given(st.integers(0, 999))
def test_features_and_their_exact_distances_score_the_same(seed):
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((4, 6))
    query_pids, gallery_pids = rng.integers(0, 4, 6), np.arange(40) % 4
    query = np.round(centers[query_pids] + rng.standard_normal((6, 6)), 1).astype(np.float32)
    gallery = np.round(centers[gallery_pids] + rng.standard_normal((40, 6)), 1).astype(np.float32)
    gallery[20:24] = gallery[:4]  # exact ties that float32 products would break
    rows, columns = np.divmod(np.arange(6 * 40), 40)
    exact = pair_sq_distances(query, gallery, rows, columns).reshape(6, 40)
    by_matrix = evaluate(exact, query_pids=query_pids, gallery_pids=gallery_pids)
    for mib in (256, 0):
        by_features = evaluate(
            query, gallery, query_pids=query_pids, gallery_pids=gallery_pids, memory_mib=mib
        )
        assert np.array_equal(by_features.ap, by_matrix.ap)
        assert np.array_equal(by_features.rankings.gallery, by_matrix.rankings.gallery)
        assert np.array_equal(by_features.rankings.distance, by_matrix.rankings.distance)


@unhurried
@given(cases(), st.randoms(use_true_random=False))
def test_permuting_queries_permutes_results(case, random):
    case["query_pids"][0] = case["gallery_pids"][0] = 7
    case["query_camids"][0], case["distractors"][0] = -1, False
    order = list(range(len(case["query_pids"])))
    random.shuffle(order)
    moved = {**case}
    for name in ("distances", "query_pids", "query_camids"):
        moved[name] = case[name][order]
    assert np.array_equal(score(moved).ap, score(case).ap[order], equal_nan=True)


def test_permuting_a_gallery_without_ties_changes_nothing():
    rng = np.random.default_rng(0)
    distances, pids = rng.random((5, 60)).astype(np.float32), rng.integers(0, 5, 60)
    order = rng.permutation(60)
    one = evaluate(distances, query_pids=np.arange(5), gallery_pids=pids)
    other = evaluate(distances[:, order], query_pids=np.arange(5), gallery_pids=pids[order])
    assert np.array_equal(one.ap, other.ap)
    assert np.array_equal(one.rankings.gallery, order[other.rankings.gallery])


def test_duplicating_a_gallery_image_puts_the_copy_right_behind_it():
    distances = np.array([[0.1, 0.2, 0.3]], dtype=np.float32)
    pids = np.array([1, 2, 1])
    once = evaluate(distances, query_pids=[1], gallery_pids=pids)
    twice = evaluate(distances[:, [0, 1, 2, 1]], query_pids=[1], gallery_pids=pids[[0, 1, 2, 1]])
    assert once.ap[0] == pytest.approx((1 + 2 / 3) / 2)
    assert twice.ap[0] == pytest.approx((1 + 2 / 4) / 2)
    assert twice.rankings.gallery.tolist() == [[0, 1, 3, 2]]


def test_equals_the_authors_scores(official):
    n, pids, cams = int(official["num_query"]), official["pids"], official["camids"]
    for kind in ("raw", "l2"):
        x = official["feat"] if kind == "raw" else l2_normalize(official["feat"])
        sources = {
            "euclidean": FeatureDistances(x[:n], x[n:]),
            "arccos": MatrixDistances(official[f"{kind}/arccos"]),
        }
        for name, source in sources.items():
            result = evaluate(source, **sides(pids, cams, n))
            assert result.mAP == pytest.approx(float(official[f"{kind}/{name}/mAP"]), abs=1e-6)
            assert np.allclose(result.cmc, official[f"{kind}/{name}/cmc"], atol=1e-6)


def test_block_distances_equal_the_authors(official):
    n, x = int(official["num_query"]), l2_normalize(official["feat"])
    block = FeatureDistances(x[:n], x[n:]).block(0, n)
    assert np.allclose(block, official["l2/euclidean"], rtol=0, atol=2e-6)


def test_ties_rank_like_a_stable_sort(official):
    distances, pids, cams = (official[f"ties/{name}"] for name in ("distmat", "pids", "camids"))
    n = len(distances)
    result = evaluate(distances, **sides(pids, cams, n))
    order = official["ties/order_stable"][:, :50]
    assert np.array_equal(result.rankings.gallery, order)


def test_single_gallery_shot_draws_one_image_per_identity():
    # Identity 1 is at 0.1 and 0.9, identity 2 at 0.5: the drawn image of 1 decides the rank.
    distances = np.array([[0.1, 0.9, 0.5]], dtype=np.float32)
    result = evaluate(
        MatrixDistances(distances),
        query_pids=[1],
        gallery_pids=[1, 1, 2],
        protocol="single_gallery_shot",
        n_draws=400,
    )
    assert result.cmc[0] == pytest.approx(0.5, abs=0.1)
    assert result.ap[0] == pytest.approx(result.cmc[0] + (1 - result.cmc[0]) / 2)
    assert result.cmc[1] == 1


def test_single_gallery_shot_keeps_distractors_leaves_out_junk_and_repeats_itself():
    distances = np.array([[0.9, 0.1, 0.2, 0.3, 0.4]], dtype=np.float32)
    options = {
        "query_pids": [1],
        "gallery_pids": [1, 1, 2, 0, 0],
        "query_camids": [0],
        "gallery_camids": [1, 0, 1, 1, 1],
        "distractors": np.array([False, False, False, True, True]),
        "protocol": "single_gallery_shot",
    }
    result = evaluate(MatrixDistances(distances), **options)
    assert result.first_hit_rank[0] == 4  # behind identity 2 and both distractors
    again = evaluate(MatrixDistances(distances), **options)
    assert np.array_equal(result.cmc, again.cmc)


def test_true_positive_rates_equal_counting_over_all_pairs():
    rng = np.random.default_rng(0)
    distances = rng.integers(0, 50, (30, 80)).astype(np.float32)
    query_pids, gallery_pids = rng.integers(0, 4, 30), rng.integers(0, 4, 80)
    genuine = query_pids[:, None] == gallery_pids
    distances[genuine] *= 0.5
    rates = (1e-3, 1e-2, 0.3)
    result = evaluate(
        distances, query_pids=query_pids, gallery_pids=gallery_pids, false_positive_rates=rates
    )
    for rate in rates:
        best = 0.0
        for threshold in np.unique(distances):
            if np.mean(distances[~genuine] <= threshold) <= rate:
                best = np.mean(distances[genuine] <= threshold)
        assert result.tpr_at_fpr[rate] == pytest.approx(best)


def test_verification_stays_exact_when_its_pool_is_cut(monkeypatch):
    monkeypatch.setattr("pose2id.metrics.verification._MIN_BUFFER", 10)
    rng = np.random.default_rng(0)
    distances = rng.random((40, 100)).astype(np.float32)
    pids = np.arange(100) % 5
    result = evaluate(
        distances,
        query_pids=np.arange(40) % 5,
        gallery_pids=pids,
        false_positive_rates=(0.01,),
    )
    genuine = (np.arange(40) % 5)[:, None] == pids
    threshold = np.sort(distances[~genuine])[int(0.01 * np.count_nonzero(~genuine))]
    assert result.tpr_at_fpr[0.01] == np.mean(distances[genuine] < threshold)


def test_one_query_and_queries_without_a_positive():
    distances = MatrixDistances(np.array([[0.2, 0.1]] * 2, dtype=np.float32))
    result = evaluate(distances, query_pids=[1, 9], gallery_pids=[1, 2])
    assert result.valid.tolist() == [True, False]
    assert result.ap[0] == 0.5
    assert np.isnan(result.ap[1])
    assert result.mAP == 0.5
    assert result.first_hit_rank.tolist() == [2, 0]


def test_without_labels_there_are_ranked_lists_only():
    distances = MatrixDistances(np.array([[0.2, 0.1]], dtype=np.float32))
    result = evaluate(distances)
    assert result.rankings.gallery.tolist() == [[1, 0]]
    assert np.isnan(result.mAP)
    assert np.isnan(result.cmc).all()
    assert not result.valid.any()


def test_cameras_matter_only_where_both_are_known():
    distances = MatrixDistances(np.array([[0.1, 0.2, 0.3]], dtype=np.float32))
    known = {"query_pids": [5], "gallery_pids": [5, 5, 5], "gallery_camids": [1, -1, 2]}
    for camids, n_positives in ([1], 2), ([-1], 3), (None, 3):
        assert evaluate(distances, query_camids=camids, **known).n_positives == [n_positives]


def test_pid_zero_matches_unless_it_is_a_distractor():
    distances = MatrixDistances(np.array([[0.1, 0.2]], dtype=np.float32))
    pids = {"query_pids": [0], "gallery_pids": [0, 1]}
    assert evaluate(distances, **pids).ap[0] == 1
    assert not evaluate(distances, **pids, distractors=np.array([True, False])).valid.any()


def test_unusable_input_is_refused():
    good, pids = np.zeros((2, 3)), {"query_pids": [1, 2], "gallery_pids": [1, 2, 3]}
    with pytest.raises(DataError, match="NaN"):
        evaluate(np.array([[np.nan]]))
    with pytest.raises(DataError, match=r"non-empty matrix .* float64 of shape \(0, 3\)"):
        evaluate(np.zeros((0, 3)))
    with pytest.raises(DataError, match="real numbers; received complex128"):
        evaluate(np.zeros((1, 3), complex))
    with pytest.raises(DataError, match="query features have 2 dimensions"):
        evaluate(np.zeros((1, 2)), np.zeros((1, 3)))
    with pytest.raises(DataError, match=r"Labels are given by name: query_pids=\.\.\."):
        evaluate(MatrixDistances(good), [1, 2, 3])
    with pytest.raises(DataError, match=r"gallery pids must be whole numbers.*float64"):
        evaluate(good, query_pids=[1, 2], gallery_pids=[1.0, 2.0, 3.0])
    with pytest.raises(DataError, match=r"query pids .* with 1 NaN: write -1 there"):
        evaluate(good, query_pids=[1.0, np.nan], gallery_pids=[1, 2, 3])
    with pytest.raises(DataError, match="query has 2 images but labels of 1"):
        evaluate(good, query_pids=[1], gallery_pids=[1, 2, 3])
    with pytest.raises(DataError, match="received 2 pids, 3 camids"):
        evaluate(good, **pids, query_camids=[1, 2, 3])
    with pytest.raises(DataError, match="mask of booleans"):
        evaluate(good, **pids, distractors=[0, 1, 0])
    with pytest.raises(DataError, match="put everything into the labels"):
        evaluate(good, **pids, query_labels=Labels([1, 2]))
    with pytest.raises(ParamsError, match="'oxford'; allowed: market, trapezoidal, none"):
        evaluate(good, **pids, protocol="oxford")
    with pytest.raises(ParamsError, match="n_draws is 0"):
        evaluate(good, **pids, n_draws=0)
    with pytest.raises(ParamsError, match="false positive rates"):
        evaluate(good, **pids, false_positive_rates=(1.5,))


def test_identity_density_equals_the_authors():
    path = OFFICIAL / "id2.npz"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    official = np.load(path)
    overall, per_identity = identity_density(official["feat"], official["pid"])
    for pid, density in per_identity.items():
        theirs = official["density"][official["pid"] == pid].mean()
        assert density == pytest.approx(theirs, abs=1e-6)
    assert overall == pytest.approx(official["density"].mean(), abs=1e-6)
    single, _ = identity_density(official["single/feat"], np.arange(20))
    assert single == 0


@unhurried
@given(st.integers(0, 99), st.integers(1, 12))
def test_identity_density_is_one_minus_the_squared_length_of_the_centre(seed, n):
    x = l2_normalize(np.random.default_rng(seed).standard_normal((n, 4)))
    overall, per_identity = identity_density(x, np.full(n, 3))
    assert overall == pytest.approx(1 - np.square(x.mean(axis=0)).sum(), abs=1e-6)
    assert list(per_identity) == [3]


def test_identity_density_needs_a_pid_per_feature():
    with pytest.raises(DataError, match="pids must be 2 whole numbers"):
        identity_density(np.ones((2, 3)), [1])
