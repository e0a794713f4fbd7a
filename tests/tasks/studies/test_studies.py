"""The ablation, and what studies have in common, on a small fabricated project."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tasks.choosing.evaluation import Setting, evaluate_setting, load_images
from tasks.reporting.study_plots import plot_ablation, plot_tuning
from tasks.stages import centralize, score
from tasks.studies.ablation import run_ablation
from tasks.studies.tune import tune
from tasks.tables.params import Params, parse_params
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
        "tune": {"n_eta": 2, "max_k": 2},
    }
    (root / "params.yaml").write_text(yaml.safe_dump(raw))
    return root, parse_params(raw)


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
    (job,) = centralize.plan(params, root, "")
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
    tune(params, root, root / "params.yaml")
    study = read_table(Layout(root).tuning / "study.parquet")
    for draw, rows in ((plot_ablation, table), (plot_tuning, study)):
        draw(rows, tmp_path / "a.svg")
        draw(rows, tmp_path / "b.svg")
        assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
