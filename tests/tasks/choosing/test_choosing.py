"""Choosing by a labelled split: fair questions, mild answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pose2id.labels import Labels
from tasks.choosing.evaluation import Images, Setting, evaluate_setting, load_images
from tasks.choosing.judging import candidates, judge, make_rounds
from tasks.choosing.rules import Candidate, Evidence
from tasks.tables.params import Params, load_params
from tasks.tables.schema import Layout
from tests.tasks.choosing.projects import as_train, people
from tests.tasks.factory import Spec

REPOSITORY = Path(__file__).parents[3]
CHAIN = ("fuse", "camera_normalize", "nfc")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Params]:
    root = tmp_path_factory.mktemp("choosing")
    return root, as_train(root, Spec(identities=8, gallery_per_identity=6))


def choice_for(images: Images, params: Params) -> tuple[Candidate, Evidence]:
    evidence = judge(candidates(params, images, ("nfc",)), images, params).evidence
    return evidence.choose().chosen, evidence


def test_a_query_is_never_in_the_gallery_that_it_asks(project: tuple[Path, Params]) -> None:
    root, params = project
    images = load_images(Layout(root), "train")
    rounds = make_rounds(images, params)
    asked_with = [image for query, _ in rounds for image in query.image_ids]
    assert 8 * 3 < len(asked_with) == len(set(asked_with)) <= 8 * 6  # two each, three times
    for query, gallery in rounds:
        assert sorted(query.image_ids + gallery.image_ids) == images.image_ids
        assert gallery.distractors.sum() == images.distractors.sum() > 0
        assert np.unique(query.pids, return_counts=True)[1].max() <= 2
        of = list(zip(query.pids, query.features.cameras, strict=True))
        assert len(of) == len(set(of))  # nobody asks twice with one camera
        assert evaluate_setting(query, gallery, Setting(), params)[0].valid.all()


def test_without_cameras_noise_finds_nobody(tmp_path: Path) -> None:
    params = as_train(tmp_path, Spec(identities=8, gallery_per_identity=6, has_cameras=False))
    images = load_images(Layout(tmp_path), "train")
    noise = np.random.default_rng(0).standard_normal(images.features.features.shape)
    random = replace(images, features=images.features.with_features(noise.astype(np.float32)))
    for query, gallery in make_rounds(random, params):
        result, _ = evaluate_setting(query, gallery, Setting(), params)
        assert set(result.n_positives.tolist()) == {5}
        assert result.mAP < 0.6
    assert not any("camera_normalize" in item.chain for item in candidates(params, images, CHAIN))


def test_k_is_bounded_by_the_pictures_of_a_person(project: tuple[Path, Params]) -> None:
    root, params = project
    images = load_images(Layout(root), "train")
    wide = params.model_copy(update={"tune": params.tune.model_copy(update={"max_k": 50})})
    assert {item.k for item in candidates(wide, images, CHAIN)} == {0, 1, 2, 3, 4, 5}
    pairs = people(5, 0.1, seed=0).take([0, 1, 6, 7, 12, 13])
    assert {item.k for item in candidates(wide, pairs, CHAIN)} == {0, 1}


def test_nfc_stays_off_where_it_helped_by_luck() -> None:
    """Twelve people, a large mean gain of NFC that two of them make and ten do not share."""
    settings = [Candidate(), Candidate(("nfc",), k=2)]
    base = np.full(12, 0.6)
    lucky = base + np.array([0.4, 0.4, *[-0.02] * 10])
    evidence = Evidence(settings, np.stack([base, lucky]))
    assert evidence.gain(*settings).delta > 0.04
    assert evidence.choose().chosen == Candidate()


def test_nfc_stays_off_where_it_harms_and_comes_where_it_helps(
    project: tuple[Path, Params],
) -> None:
    _, params = project
    hard, evidence = choice_for(people(60, 2.0, seed=1), params)
    assert evidence.gain(Candidate(), Candidate(("nfc",), k=3)).high < 0
    assert hard == Candidate()
    helped, _ = choice_for(people(40, 0.9, seed=1), params)
    assert helped.chain == ("nfc",)


def test_a_few_easy_people_do_not_switch_nfc_on(project: tuple[Path, Params]) -> None:
    """What a highest mean would have taken for 12 easy people, and what it does to hard ones."""
    _, params = project
    fooled = 0
    for seed in range(10):
        chosen, evidence = choice_for(people(12, 1.2, seed=seed), params)
        fooled += evidence.best.chain == ("nfc",) and not chosen.chain
        if chosen.chain:
            assert evidence.gain(Candidate(), chosen).low >= 0
    assert fooled >= 2


def test_of_equals_the_mildest_is_taken_and_each_step_must_add() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(0.3, 0.5, 50)
    scores = {
        Candidate(): base,
        Candidate(("fuse",), eta=1.0): base + 0.2,
        Candidate(("fuse",), eta=8.0): base + 0.2,
        Candidate(("nfc",), k=1): base + 0.01 * rng.standard_normal(50),
        Candidate(("fuse", "nfc"), eta=1.0, k=1): base + 0.2 + 0.01 * rng.standard_normal(50),
        Candidate(("fuse", "nfc"), eta=8.0, k=1): base + 0.2 + 0.01 * rng.standard_normal(50),
    }
    evidence = Evidence(list(scores), np.stack(list(scores.values())))
    assert evidence.choose().chosen == Candidate(("fuse",), eta=1.0)


def test_intervals_of_fewer_people_are_wider() -> None:
    scores = np.tile([0.1, 0.3, 0.0, 0.2], 25)
    widths = []
    for n_people in (4, 12, 100):
        few = np.stack([np.zeros(n_people), scores[:n_people]])
        gain = Evidence([Candidate(), Candidate(("nfc",), k=1)], few).gain(
            Candidate(), Candidate(("nfc",), k=1)
        )
        widths.append(gain.high - gain.low)
    assert widths[0] > 1.5 * widths[1] > 3 * widths[2]


def test_one_modality_asks_for_the_other() -> None:
    params = load_params(REPOSITORY / "params.yaml")
    params = params.model_copy(
        update={"score": params.score.model_copy(update={"protocol": "regdb"})}
    )
    images = people(4, 0.1, seed=0)
    names = np.where(images.features.cameras < 3, "visible", "infrared")
    labels = Labels(pids=images.pids, modality=names, image_ids=images.image_ids)
    for query, gallery in make_rounds(replace(images, labels=labels), params):
        assert len(np.unique(query.labels.modality)) == 1
        assert not set(query.labels.modality) & set(gallery.labels.modality)
