"""Every protocol against plain loops on random labels, with many ties."""

from __future__ import annotations

import itertools
import random
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pose2id.errors import DataError, ParamsError
from pose2id.metrics import PROTOCOLS, Labels, Protocol, evaluate
from pose2id.protocols import rules_of
from tests.pose2id.metrics.plain import agrees, means, over_trials, walk

unhurried = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 100_000)


class Case:
    """Random labels of a few persons, cameras, outfits, tracklets and groups."""

    def __init__(self, seed: int, n_query: int = 6, n_gallery: int = 25) -> None:
        rng = np.random.default_rng(seed)
        self.distances = rng.integers(0, rng.integers(3, 40), (n_query, n_gallery)).astype(float)
        self.columns = [
            {
                "pids": rng.integers(0, 4, n),
                "camids": rng.integers(0, 3, n),
                "clothes_ids": rng.integers(0, 3, n),
                "tracklets": rng.integers(0, 4, n),
                "groups": rng.integers(0, 6, n),
            }
            for n in (n_query, n_gallery)
        ]
        # one pair that no rule hides
        for name, values in zip(
            self.columns[0], ((1, 1), (7, 8), (5, 5), (7, 8), (7, 8)), strict=True
        ):
            self.columns[0][name][0], self.columns[1][name][0] = values

    def score(self, protocol: str, **options):
        query, gallery = (Labels(**columns) for columns in self.columns)
        return evaluate(
            self.distances,
            query_labels=query,
            gallery_labels=gallery,
            protocol=protocol,
            **options,
        )

    def plain(self, hidden):
        """Walks with a rule in words: whether a query may not see a gallery image."""
        query, gallery = self.columns
        found = []
        for q, row in enumerate(self.distances):
            of_query = {name: values[q] for name, values in query.items()}
            visible = [
                g
                for g in range(len(row))
                if not hidden(of_query, {name: values[g] for name, values in gallery.items()})
            ]
            found.append(walk(row, visible, of_query["pids"], gallery["pids"]))
        return found


def person_and(column):
    return lambda q, g: q["pids"] == g["pids"] and q[column] == g[column]


def changed(q, g):
    return person_and("camids")(q, g) or person_and("clothes_ids")(q, g)


def same_clothes(q, g):
    other = q["pids"] == g["pids"] and q["clothes_ids"] != g["clothes_ids"]
    return person_and("camids")(q, g) or other


RULES = {
    "market": person_and("camids"),
    "none": lambda q, g: False,
    "clothes_general": person_and("camids"),
    "clothes_changed": changed,
    "clothes_same": same_clothes,
    "tracklet": person_and("tracklets"),
    "group": lambda q, g: q["groups"] == g["groups"],
}


@pytest.mark.parametrize("protocol", RULES)
@unhurried
@given(seed=seeds)
def test_rules_equal_plain_loops(protocol, seed):
    case = Case(seed)
    if protocol == "clothes_changed":
        case.columns[1]["clothes_ids"][0] = 6
    found = case.plain(RULES[protocol])
    ours = case.score(protocol)
    agrees(ours, means(found))
    for q, one in enumerate(found):
        assert ours.valid[q] == (one is not None)
        if one is not None:
            assert ours.ap[q] == pytest.approx(one.ap)
            assert ours.first_hit_rank[q] == one.first_image


@unhurried
@given(seed=seeds)
def test_cuhk03s_average_precision_is_of_the_whole_gallery(seed):
    case = Case(seed)
    found = [one for one in case.plain(RULES["market"]) if one is not None]
    ours = case.score("cuhk03_classic", n_draws=3)
    assert ours.mAP == pytest.approx(np.mean([one.ap for one in found]), abs=1e-6)
    assert ours.mAP_std == pytest.approx(0)
    shots = case.score("single_gallery_shot", n_draws=3)
    assert np.array_equal(shots.cmc, ours.cmc)
    assert np.array_equal(shots.first_hit_rank, ours.first_hit_rank)


@pytest.mark.parametrize("seed", range(3))
def test_draws_of_one_image_per_person_come_to_the_mean_over_all_draws(seed):
    rng = np.random.default_rng(seed)
    pids, row = np.array([0, 0, 0, 1, 1, 2, 2]), rng.permutation(7).astype(float)
    images = [np.flatnonzero(pids == pid) for pid in range(3)]
    ranks = [walk(row, picks, 0, pids).first_image for picks in itertools.product(*images)]
    labels = {"query_pids": [0], "gallery_pids": pids}
    ours = evaluate(row[None], **labels, protocol="single_gallery_shot", n_draws=3000)
    assert ours.mAP == pytest.approx(np.mean([1 / rank for rank in ranks]), abs=0.02)
    for r in (1, 2, 3):
        assert ours.rank(r) == pytest.approx(np.mean([rank <= r for rank in ranks]), abs=0.03)
    classic = evaluate(row[None], **labels, protocol="cuhk03_classic", n_draws=3000)
    assert np.array_equal(classic.cmc, ours.cmc)


@unhurried
@given(seed=seeds)
def test_prccs_draws_are_the_published_ones(seed):
    case = Case(seed)
    query, gallery = case.columns
    query["camids"][:] = 9  # the gallery is of another camera than the queries
    random.seed(3)
    trials = []
    for _ in range(10):
        picks = [
            random.choice([g for g, p in enumerate(gallery["pids"]) if p == pid])
            for pid in sorted(set(gallery["pids"].tolist()))
        ]
        found = [
            walk(row, picks, query["pids"][q], gallery["pids"])
            for q, row in enumerate(case.distances)
        ]
        trials.append(means(found))
    ours = case.score("prcc")
    agrees(ours, over_trials(trials))
    assert ours.n_trials == 10
    assert ours.mAP_std == pytest.approx(np.std([t["mAP"] for t in trials], ddof=1))
    assert ours.rank_std(1) == pytest.approx(np.std([t["cmc"][0] for t in trials], ddof=1))


def one_direction(distances, query_pids, gallery_pids, people):
    """One split in one direction: both sides cut down to some persons."""
    visible = [g for g, pid in enumerate(gallery_pids) if pid in people]
    return means(
        [
            walk(row, visible, pid, gallery_pids)
            for row, pid in zip(distances, query_pids, strict=True)
            if pid in people
        ]
    )


@pytest.mark.parametrize("protocol", ["regdb", "viper"])
@unhurried
@given(seed=seeds)
def test_splits_are_scored_in_both_directions(protocol, seed):
    case = Case(seed, n_query=20)
    pids = [columns["pids"] for columns in case.columns]
    for side in pids:
        side[:4] = range(4)
    splits = [{0, 1}, {1, 2, 3}, {0, 3}]
    trials = []
    for people in splits:
        trials.append(one_direction(case.distances, *pids, people))
        trials.append(one_direction(case.distances.T, *pids[::-1], people))
    ours = case.score(protocol, people=[sorted(people) for people in splits])
    agrees(ours, over_trials(trials))
    assert ours.n_trials == 6
    assert sorted(t.mAP for t in ours.trials) == pytest.approx(sorted(t["mAP"] for t in trials))


def test_regdb_without_a_list_is_one_trial_of_everybody_each_way():
    case = Case(1)
    query, gallery = (columns["pids"] for columns in case.columns)
    everyone = set(query) | set(gallery)
    ways = [
        one_direction(case.distances, query, gallery, everyone),
        one_direction(case.distances.T, gallery, query, everyone),
    ]
    ours = case.score("regdb")
    agrees(ours, over_trials(ways))
    assert any(note.startswith("query to gallery: mAP") for note in ours.notes)
    assert any(note.startswith("gallery to query: mAP") for note in ours.notes)


def test_viper_draws_ten_different_halves_and_scores_them_both_ways():
    rng = np.random.default_rng(0)
    distances = rng.random((30, 30)) + 1 - np.eye(30) * 0.7
    options = {"query_pids": np.arange(30), "gallery_pids": np.arange(30), "protocol": "viper"}
    ours = evaluate(distances, **options)
    assert ours.n_trials == 20
    assert {trial.n_valid for trial in ours.trials} == {15}
    assert len({trial.mAP for trial in ours.trials}) > 10
    assert evaluate(distances, **options).mAP == ours.mAP
    assert evaluate(distances, **options, seed=1).mAP != ours.mAP


def test_every_protocol_is_in_the_registry_with_a_source():
    assert set(PROTOCOLS) == set(get_args(Protocol))
    assert all(rules_of(name).source for name in get_args(Protocol))
    with pytest.raises(ParamsError, match="'sysu'; allowed: market, "):
        rules_of("sysu")


@pytest.mark.parametrize(
    ("protocol", "column"),
    [
        ("clothes_changed", "clothes_ids"),
        ("clothes_same", "clothes_ids"),
        ("tracklet", "tracklets"),
        ("group", "groups"),
        ("sysu_mm01_all_1shot_seeded", "camids"),
    ],
)
def test_a_protocol_whose_column_is_missing_says_so(protocol, column):
    case = Case(0)
    case.columns[1].pop(column)
    with pytest.raises(DataError, match=f"{protocol} needs {column} .*unknown: gallery {column}"):
        case.score(protocol)


def test_unknown_clothes_are_neither_the_same_nor_others():
    for protocol in ("clothes_changed", "clothes_same"):
        ours = evaluate(
            np.array([[1.0, 2.0, 3.0]]),
            query_labels=Labels([1], [0], clothes_ids=[5]),
            gallery_labels=Labels([1, 1, 1], [1, 1, 1], clothes_ids=[-1, 5, 6]),
            protocol=protocol,
        )
        assert ours.n_positives.tolist() == [1]
        assert ours.rankings.is_junk[0].tolist()[0]


def test_columns_of_names_and_of_numbers_do_not_mix_but_names_work():
    distances = np.array([[1.0, 2.0, 3.0]])
    gallery = Labels([1, 1, 2], groups=["yard", "", "yard"])
    ours = evaluate(
        distances,
        query_labels=Labels([1], groups=np.array(["yard"], object)),
        gallery_labels=gallery,
        protocol="group",
    )
    assert ours.rankings.is_junk.tolist() == [[True, False, True]]
    assert ours.ap.tolist() == [1.0]
    with pytest.raises(DataError, match="groups are names on one side and numbers on the other"):
        evaluate(
            distances,
            query_labels=Labels([1], groups=[3]),
            gallery_labels=gallery,
            protocol="group",
        )
    with pytest.raises(DataError, match=r"groups must be whole numbers .* or names"):
        Labels([1], groups=[0.5])
