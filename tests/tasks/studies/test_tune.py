"""The choice of a chain on the train split: fair questions, mild answers, the file written."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from pose2id.errors import DataError, ParamsError
from pose2id.labels import Labels
from pose2id.steps.base import FeatureSet
from tasks.reporting.studies import write_studies_part
from tasks.studies import tune as study
from tasks.studies.choice import Candidate, Evidence
from tasks.studies.evaluation import Images, Setting, evaluate_setting, load_images
from tasks.studies.tune import Choice, candidates, considered_steps, make_rounds, tune
from tasks.tables.params import Params, load_params, parse_params
from tasks.tables.schema import Layout
from tasks.tables.store import read_table
from tests.tasks.factory import Spec, write_project

REPOSITORY = Path(__file__).parents[3]


def as_train(root: Path, spec: Spec, **sections: object) -> Params:
    """A project whose train split is its gallery under another name; the params file is written."""
    params = write_project(root, spec)
    layout = Layout(root)
    for path in (layout.index, layout.quality):
        shutil.copy(path("gallery"), path("train"))
    shutil.copytree(layout.features("gallery"), layout.features("train"))
    raw = params.model_dump(mode="json", by_alias=True)
    raw |= {"splits": ["train", "query", "gallery"], "tune": {"n_eta": 2, "max_k": 3}, **sections}
    (root / "params.yaml").write_text(yaml.safe_dump(raw))
    return parse_params(raw)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Params]:
    root = tmp_path_factory.mktemp("tune")
    return root, as_train(root, Spec(identities=8, gallery_per_identity=6))


@pytest.fixture(scope="module")
def choice(project: tuple[Path, Params]) -> Choice:
    root, params = project
    return tune(params, root, root / "params.yaml")


def images_of(features: np.ndarray, pids: np.ndarray, cameras: np.ndarray) -> Images:
    """Images by their features alone."""
    ids = [f"{number:05d}" for number in range(len(pids))]
    labels = Labels(pids=pids, camids=cameras, image_ids=ids)
    return Images(ids, FeatureSet(features.astype(np.float32), cameras), labels)


def choice_for(images: Images, params: Params) -> tuple[Candidate, Evidence]:
    settings = [item for item in candidates(params, images) if item.chain in ((), ("nfc",))]
    rounds = make_rounds(images, params)
    pids = np.concatenate([query.pids for query, _ in rounds])
    aps = study._evaluate(settings, rounds, params, lambda: None)
    per_person = np.stack([aps[:, pids == pid].mean(axis=1) for pid in np.unique(pids)], axis=1)
    evidence = Evidence(settings, per_person)
    return evidence.choose(), evidence


def people(n_people: int, noise: float, seed: int, dim: int = 24) -> Images:
    """Six noisy pictures, each by another camera, of every person."""
    rng = np.random.default_rng(seed)
    pids, cameras = np.repeat(np.arange(n_people), 6), np.tile(np.arange(6), n_people)
    centres = rng.normal(size=(n_people, dim))
    return images_of(centres[pids] + noise * rng.normal(size=(len(pids), dim)), pids, cameras)


def test_the_choice_is_reproducible_and_every_setting_is_kept(
    project: tuple[Path, Params], choice: Choice
) -> None:
    root, params = project
    table = read_table(Layout(root).tuning / "study.parquet")
    rows = table.to_pylist()
    assert len(rows) == 2 * 3 * 4  # camera_normalize in or out; eta 0 and 2 more; k 0 to 3
    (chosen,), (best,) = ([row for row in rows if row[mark]] for mark in ("chosen", "best"))
    assert tuple(chosen["steps"]) == choice.chosen.chain
    assert best["mAP"] == max(row["mAP"] for row in rows)
    assert (rows[0]["steps"], rows[0]["gain"]) == ([], 0)
    assert all(row["gain_low"] <= row["gain"] <= row["gain_high"] for row in rows)
    tune(params, root, root / "params.yaml")
    assert read_table(Layout(root).tuning / "study.parquet").equals(table)


def test_it_says_what_it_rests_on(project: tuple[Path, Params], choice: Choice) -> None:
    root, _ = project
    assert choice.n_people == 8
    assert "8 people" in choice.notes[0]
    assert f"{choice.n_images} pictures" in choice.notes[0]
    assert "coarse" in choice.notes[1]
    write_studies_part(Layout(root))
    page = (root / "reports/local/studies.js").read_text()
    assert all(words in page for words in ("coarse", "tuning.svg", "luck"))


def test_a_query_is_never_in_the_gallery_that_it_asks(project: tuple[Path, Params]) -> None:
    root, params = project
    images = load_images(Layout(root), "train")
    rounds = make_rounds(images, params)
    asked_with = [image for query, _ in rounds for image in query.image_ids]
    assert len(asked_with) == len(set(asked_with)) == 8 * 3  # one per person and camera
    for query, gallery in rounds:
        assert sorted(query.image_ids + gallery.image_ids) == images.image_ids
        assert gallery.distractors.sum() == images.distractors.sum() > 0
        assert np.unique(query.pids, return_counts=True)[1].max() <= 2
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
    assert not any("camera_normalize" in item.chain for item in candidates(params, images))


def test_query_and_gallery_are_never_read(
    project: tuple[Path, Params], choice: Choice, tmp_path: Path
) -> None:
    root, params = project
    alone, source = Layout(tmp_path), Layout(root)
    for path in (alone.index, alone.quality):
        path("train").parent.mkdir(parents=True)
    shutil.copy(source.index("train"), alone.index("train"))
    shutil.copy(source.quality("train"), alone.quality("train"))
    shutil.copytree(source.features("train"), alone.features("train"))
    here = tune(params, tmp_path, root / "params.yaml")
    assert (here.chosen, here.evidence.means.tolist()) == (
        choice.chosen,
        choice.evidence.means.tolist(),
    )


@pytest.mark.parametrize(
    ("split", "words"), [("gallery", "what is scored"), ("val", "not among splits")]
)
def test_splits_that_cannot_be_tuned_on_are_refused(
    project: tuple[Path, Params], split: str, words: str
) -> None:
    root, params = project
    search = params.tune.model_copy(update={"split": split})
    with pytest.raises(ParamsError, match=words):
        tune(params.model_copy(update={"tune": search}), root, root / "params.yaml")


@pytest.mark.parametrize(
    ("has_cameras", "safe"), [(True, r"\[camera_normalize\]"), (False, r"is \[\]")]
)
def test_without_labels_the_safe_chain_is_named(
    tmp_path: Path, has_cameras: bool, safe: str
) -> None:
    params = as_train(tmp_path, Spec(labels=False, has_cameras=has_cameras))
    with pytest.raises(DataError, match=safe):
        tune(params, tmp_path, tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (Spec(identities=1, gallery_per_identity=6), "1 people"),
        (Spec(identities=4, gallery_per_identity=1), "two pictures"),
        (Spec(identities=4, gallery_per_identity=4, cameras=1), "0 people"),
    ],
)
def test_without_two_people_to_find_nothing_is_chosen(
    tmp_path: Path, spec: Spec, words: str
) -> None:
    params = as_train(tmp_path, spec)
    with pytest.raises(DataError, match=words):
        tune(params, tmp_path, tmp_path / "params.yaml")
    assert not (Layout(tmp_path).tuning / "params.yaml").exists()


def test_k_is_bounded_by_the_pictures_of_a_person(project: tuple[Path, Params]) -> None:
    root, params = project
    images = load_images(Layout(root), "train")
    wide = params.model_copy(update={"tune": params.tune.model_copy(update={"max_k": 50})})
    assert {item.k for item in candidates(wide, images)} == {0, 1, 2, 3, 4, 5}
    pairs = people(5, 0.1, seed=0).take([0, 1, 6, 7, 12, 13])
    assert {item.k for item in candidates(wide, pairs)} == {0, 1}


def test_a_variants_order_of_steps_holds(project: tuple[Path, Params]) -> None:
    _, params = project
    assert considered_steps(params) == ("camera_normalize", "fuse", "nfc")
    variants = {"base": (), "mine": ("fuse", "camera_normalize"), "white": ("whiten", "nfc")}
    other = params.model_copy(update={"variants": variants})
    assert considered_steps(other) == ("fuse", "camera_normalize", "whiten", "nfc")


def test_nfc_stays_off_where_it_helped_by_luck() -> None:
    """Twelve people, a large mean gain of NFC that two of them make and ten do not share."""
    settings = [Candidate(), Candidate(("nfc",), k=2)]
    base = np.full(12, 0.6)
    lucky = base + np.array([0.4, 0.4, *[-0.02] * 10])
    evidence = Evidence(settings, np.stack([base, lucky]))
    assert evidence.gain(*settings).delta > 0.04
    assert evidence.choose() == Candidate()


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
    assert evidence.choose() == Candidate(("fuse",), eta=1.0)


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


def test_the_file_given_is_what_is_changed_and_comments_stay(
    project: tuple[Path, Params], tmp_path: Path
) -> None:
    root, params = project
    mine = tmp_path / "mine.yaml"
    text = (root / "params.yaml").read_text()
    mine.write_text("# mine, and only mine\n" + text.replace("seed: 0", "seed: 7  # lucky"))
    choice = tune(load_params(mine), root, mine)
    written = Layout(root).tuning / "params.yaml"
    assert written.read_text().startswith("# mine, and only mine\n")
    assert "seed: 7  # lucky" in written.read_text()
    found = load_params(written)
    assert found.chain(choice.variant) == choice.chosen.chain
    if "fuse" in choice.chosen.chain:
        assert found.centralize.step("fuse").eta == choice.chosen.eta
    assert found.features == params.features


@pytest.mark.parametrize(
    ("chosen", "variant"),
    [
        (Candidate(), "base"),
        (Candidate(("fuse",), 2.0), "ipg"),
        (Candidate(("camera_normalize", "fuse"), 2.0), "tuned"),
        (Candidate(("camera_normalize", "fuse", "nfc"), 0.5, 3), "tuned"),
    ],
)
def test_the_chain_becomes_a_variant_and_no_other_is_lost(
    tmp_path: Path, chosen: Candidate, variant: str
) -> None:
    source, target = REPOSITORY / "params.yaml", tmp_path / "tuned.yaml"
    params = load_params(source)
    assert study._write_params(params, source, target, chosen) == variant
    found = load_params(target)
    assert found.variants == {**params.variants, variant: chosen.chain}
    if "fuse" in chosen.chain:
        assert found.centralize.step("fuse").eta == chosen.eta
    if "nfc" in chosen.chain:
        assert (found.centralize.step("nfc").k1, found.centralize.step("nfc").k2) == (3, 3)
    comments = [line for line in source.read_text().splitlines() if "#" in line]
    assert {line.split("#", 1)[1] for line in comments} <= {
        line.split("#", 1)[1] for line in target.read_text().splitlines() if "#" in line
    }
    again = tmp_path / "again.yaml"  # an earlier choice is replaced
    assert study._write_params(found, target, again, Candidate()) == "base"
    assert load_params(again).variants == params.variants


def test_protocol_search_and_reduce_are_those_of_the_project(
    project: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, params = project
    raw = params.model_dump(mode="json", by_alias=True)
    raw["score"]["protocol"] = "none"
    raw["centralize"]["fuse"]["reduce"] = "max"
    raw["centralize"]["nfc"]["search"] = "hnsw"
    seen, searches = [], []

    def spy(query, gallery, setting, given, *others):
        seen.append((given.score.protocol, setting.params["fuse"].reduce))
        return evaluate_setting(query, gallery, setting, given, *others)

    def search(features, k, *, search, memory_mib):
        searches.append((search, k))
        return fresh(features, k, search="exact", memory_mib=memory_mib)

    fresh = study.fresh_neighbors
    monkeypatch.setattr(study, "evaluate_setting", spy)
    monkeypatch.setattr(study, "fresh_neighbors", search)
    tune(parse_params(raw), root, root / "params.yaml")
    assert set(seen) == {("none", "max")}
    n_rounds = len(make_rounds(load_images(Layout(root), "train"), params))
    assert set(searches) == {("hnsw", 3)}  # once for all k of a chain and eta, on both sides
    assert len(searches) == 2 * n_rounds * 2 * 3


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
