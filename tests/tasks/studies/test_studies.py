"""Tuning on the train split and the ablation, on a small fabricated project."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from pose2id.errors import DataError, ParamsError
from tasks.reporting.study_plots import plot_ablation, plot_tuning
from tasks.stages import centralize, score
from tasks.studies.ablation import run_ablation
from tasks.studies.evaluation import Setting, evaluate_setting, load_images
from tasks.studies.tune import make_folds, tune
from tasks.tables.params import Params, load_params, parse_params
from tasks.tables.schema import Layout
from tasks.tables.store import read_table
from tests.tasks.factory import Spec, write_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Params]:
    """A project whose train split is a copy of its gallery under another name."""
    root = tmp_path_factory.mktemp("studies")
    params = write_project(root, Spec(identities=8, gallery_per_identity=6))
    layout = Layout(root)
    shutil.copy(layout.index("gallery"), layout.index("train"))
    shutil.copy(layout.quality("gallery"), layout.quality("train"))
    shutil.copytree(layout.features("gallery"), layout.features("train"))
    raw = params.model_dump(mode="json", by_alias=True)
    raw |= {
        "splits": ["train", "query", "gallery"],
        "tune": {"folds": 2, "trials": 6, "max_k": 3},
    }
    (root / "params.yaml").write_text(yaml.safe_dump(raw))
    return root, parse_params(raw)


def test_tuning_is_reproducible_and_includes_what_is_set_now(
    project: tuple[Path, Params],
) -> None:
    root, params = project
    best = tune(params, root)
    study = read_table(Layout(root).tuning / "study.parquet").to_pylist()
    assert len(study) == params.tune.trials
    assert study[0]["eta"] == params.centralize.step("fuse").eta
    assert best["mAP"] == max(row["mAP"] for row in study)
    assert tune(params, root) == best


def test_the_params_file_written_is_valid_and_holds_the_choice(
    project: tuple[Path, Params],
) -> None:
    root, params = project
    best = tune(params, root)
    chosen = load_params(Layout(root).tuning / "params.yaml")
    assert chosen.centralize.step("nfc").k1 == best["k1"]
    assert chosen.centralize.step("fuse").eta == pytest.approx(best["eta"], abs=1e-4)
    assert chosen.features == params.features


def test_folds_share_no_identity_and_queries_have_positives(
    project: tuple[Path, Params],
) -> None:
    root, params = project
    folds = make_folds(load_images(Layout(root), "train"), params.tune)
    people = [set(gallery.pids.tolist()) for _, gallery in folds]
    assert not people[0] & people[1]
    for query, gallery in folds:
        result, _ = evaluate_setting(query, gallery, Setting(), params)
        assert result.valid.all()


def test_tuning_on_what_is_scored_is_refused(project: tuple[Path, Params]) -> None:
    root, params = project
    search = params.tune.model_copy(update={"split": "gallery"})
    with pytest.raises(ParamsError, match=r"tune\.split"):
        tune(params.model_copy(update={"tune": search}), root)


def test_too_few_people_for_the_folds_is_said(project: tuple[Path, Params]) -> None:
    root, params = project
    images = load_images(Layout(root), "train")
    with pytest.raises(DataError, match=r"tune\.folds"):
        make_folds(images, params.tune.model_copy(update={"folds": 8}))


def test_tuning_never_reads_query_or_gallery(project: tuple[Path, Params], tmp_path: Path) -> None:
    root, params = project
    alone = Layout(tmp_path)
    source = Layout(root)
    alone.index("train").parent.mkdir(parents=True)
    alone.quality("train").parent.mkdir(parents=True)
    shutil.copy(source.index("train"), alone.index("train"))
    shutil.copy(source.quality("train"), alone.quality("train"))
    shutil.copytree(source.features("train"), alone.features("train"))
    shutil.copy(root / "params.yaml", tmp_path)
    assert tune(params, tmp_path)["mAP"] == tune(params, root)["mAP"]


def test_the_ablation_covers_the_papers_table_and_curves(project: tuple[Path, Params]) -> None:
    root, params = project
    rows = run_ablation(params, root).to_pylist()
    steps = [row["setting"] for row in rows if row["study"] == "steps"]
    assert steps[0] == "base"
    assert {"nfc", "ipg", "ipg_nfc", "fuse, query only", "nfc, gallery only"} <= set(steps)
    assert [row["value"] for row in rows if row["study"] == "poses"] == list(range(1, 9))
    # all eight poses at the configured eta is the full method, whichever study it stands in
    full = next(row for row in rows if row["setting"] == "ipg")
    assert rows[[row["value"] for row in rows].index(8.0)]["mAP"] == full["mAP"]


def test_settings_agree_with_the_stages_they_imitate(project: tuple[Path, Params]) -> None:
    root, params = project
    for split in ("query", "gallery"):
        (job,) = centralize.plan(params, root, split)
        centralize.run_shard(job)
    (job,) = score.plan(params, root, "")
    score.run_shard(job)
    scored = {
        row["variant"]: row
        for row in read_table(Layout(root).results / "summary.parquet").to_pylist()
    }
    query, gallery = (load_images(Layout(root), name) for name in ("query", "gallery"))
    for name, chain in params.variants.items():
        found, id2 = evaluate_setting(query, gallery, Setting.both(chain), params)
        assert (found.mAP, found.rank(1), id2) == (
            scored[name]["mAP"],
            scored[name]["rank_1"],
            scored[name]["id2"],
        )


def test_plots_have_the_same_bytes_twice(project: tuple[Path, Params], tmp_path: Path) -> None:
    root, params = project
    table = run_ablation(params, root)
    tune(params, root)
    study = read_table(Layout(root).tuning / "study.parquet")
    for draw, rows in ((plot_ablation, table), (plot_tuning, study)):
        draw(rows, tmp_path / "a.svg")
        draw(rows, tmp_path / "b.svg")
        assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_without_cameras_no_query_finds_itself(tmp_path: Path) -> None:
    params = write_project(tmp_path, Spec(identities=8, gallery_per_identity=6, has_cameras=False))
    images = load_images(Layout(tmp_path), "gallery")
    noise = np.random.default_rng(0).standard_normal(images.features.features.shape)
    features = images.features.with_features(noise.astype(np.float32))
    random = replace(images, features=features)
    search = params.tune.model_copy(update={"split": "gallery", "folds": 2})
    for query, gallery in make_folds(random, search):
        assert set(query.image_ids) <= set(gallery.image_ids)
        result, _ = evaluate_setting(query, gallery, Setting(), params)
        assert set(result.n_positives.tolist()) == {5}
        assert result.rank(1) < 0.7
        assert result.mAP < 0.6
