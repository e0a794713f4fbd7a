"""The choice of a chain on the train split: fair questions, mild answers, the file written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pose2id.errors import DataError, Pose2IdError
from tasks.choosing import judging
from tasks.choosing.evaluation import load_images, run_setting
from tasks.choosing.judging import make_rounds
from tasks.choosing.rules import Candidate
from tasks.reporting.studies import write_studies_part
from tasks.studies import tune as study
from tasks.studies.tune import Choice, considered_steps, tune
from tasks.tables.params import Params, load_params, parse_params
from tasks.tables.schema import Layout
from tasks.tables.store import read_table
from tests.tasks.choosing.projects import as_train
from tests.tasks.factory import Spec

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Params]:
    root = tmp_path_factory.mktemp("tune")
    return root, as_train(root, Spec(identities=8, gallery_per_identity=6))


@pytest.fixture(scope="module")
def choice(project: tuple[Path, Params]) -> Choice:
    root, params = project
    return tune(params, root, root / "params.yaml")


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
    assert choice.judged.n_people == 8
    assert "8 people" in choice.notes[0]
    assert f"{choice.judged.n_images} pictures" in choice.notes[0]
    assert "coarse" in choice.notes[1]
    write_studies_part(Layout(root))
    page = (root / "reports/local/studies.js").read_text()
    assert all(words in page for words in ("coarse", "tuning.svg", "luck"))


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
    assert (here.chosen, here.judged.evidence.means.tolist()) == (
        choice.chosen,
        choice.judged.evidence.means.tolist(),
    )


@pytest.mark.parametrize(
    ("split", "words"), [("gallery", "what is scored"), ("val", "not among splits")]
)
def test_splits_that_cannot_be_tuned_on_are_refused(
    project: tuple[Path, Params], split: str, words: str
) -> None:
    root, params = project
    search = params.tune.model_copy(update={"split": split})
    with pytest.raises(Pose2IdError, match=words):
        tune(params.model_copy(update={"tune": search}), root, root / "params.yaml")


def test_without_labels_nothing_is_chosen(tmp_path: Path) -> None:
    params = as_train(tmp_path, Spec(labels=False))
    with pytest.raises(DataError, match="no person ids"):
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


def test_a_variants_order_of_steps_holds(project: tuple[Path, Params]) -> None:
    _, params = project
    assert considered_steps(params) == ("fuse", "camera_normalize", "nfc")
    variants = {"base": (), "mine": ("camera_normalize", "fuse"), "white": ("whiten", "nfc")}
    other = params.model_copy(update={"variants": variants})
    assert considered_steps(other) == ("camera_normalize", "fuse", "whiten", "nfc")


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
        (Candidate(("fuse", "camera_normalize"), 2.0), "tuned"),
        (Candidate(("fuse", "camera_normalize", "nfc"), 0.5, 3), "all"),
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
        return run_setting(query, gallery, setting, given, *others)

    def search(features, k, *, search, memory_mib, effort):
        searches.append((search, k))
        return fresh(features, k, search="exact", memory_mib=memory_mib)

    fresh = judging.fresh_neighbors
    monkeypatch.setattr(judging, "run_setting", spy)
    monkeypatch.setattr(judging, "fresh_neighbors", search)
    tune(parse_params(raw), root, root / "params.yaml")
    assert set(seen) == {("none", "max")}
    n_rounds = len(make_rounds(load_images(Layout(root), "train"), params))
    assert set(searches) == {("hnsw", 3)}  # once for all k of a chain and eta, on both sides
    assert len(searches) == 2 * n_rounds * 2 * 3
