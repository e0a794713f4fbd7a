"""Pushing, pulling, experiments and differences: what DVC offers works on this project."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Project


def git(project: Project, *arguments: str) -> None:
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(
        ["git", *identity, *arguments], cwd=project.root, check=True, capture_output=True
    )


@pytest.fixture
def committed(ran_copy: Project, tmp_path: Path) -> Project:
    """A project whose last run is committed, with a remote."""
    store = tmp_path / "store"
    ran_copy.run("dvc", "remote", "add", "-d", "store", str(store))
    git(ran_copy, "add", "-A")
    git(ran_copy, "commit", "-qm", "run")
    return ran_copy


@pytest.mark.slow
def test_a_clone_with_a_pull_answers_queries_without_recomputing(
    committed: Project, tmp_path: Path
):
    committed.run("dvc", "push")
    clone = Project(tmp_path / "clone")
    subprocess.run(
        ["git", "clone", "-q", str(committed.root), str(clone.root)],
        check=True,
        capture_output=True,
    )
    clone.run("dvc", "pull")
    assert clone.outs() == committed.outs()
    sql = "SELECT variant, count(*) AS n FROM rankings GROUP BY variant ORDER BY variant"
    answer = clone.run("pose2id", "query", sql).stdout
    assert "ipg_nfc" in answer
    assert answer == committed.run("pose2id", "query", sql).stdout
    assert "Running stage" not in clone.run("dvc", "repro").stdout


@pytest.mark.slow
def test_an_experiment_reuses_pictures_and_shows_its_difference(committed: Project):
    done = committed.run("dvc", "exp", "run", "-S", "centralize.fuse.eta=0.0")
    assert "Running stage 'centralize@query'" in done.stdout
    assert "Running stage 'generate" not in done.stdout
    table = list(csv.DictReader(committed.run("dvc", "exp", "show", "--csv").stdout.splitlines()))
    etas = {row["centralize.fuse.eta"] for row in table}
    assert etas == {"0.0", "8.0"}
    difference = json.loads(committed.run("dvc", "metrics", "diff", "--json").stdout)
    changed = difference["data/results/metrics.json"]
    assert any(name.startswith("ipg.") for name in changed)
    assert not any(name.startswith("base.") for name in changed)
    plots = committed.run("dvc", "plots", "diff", "--json").stdout
    assert "cmc.csv" in plots
    shutil.rmtree(committed.root / "dvc_plots", ignore_errors=True)
