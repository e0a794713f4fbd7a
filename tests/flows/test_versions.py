"""Pushing, pulling, experiments and differences: what DVC offers works on this project."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tasks.tables.store import read_table
from tests.conftest import Project
from tests.flows.conftest import COUNTS
from tests.tasks.reporting.test_report import links_of


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
    assert all(file.is_file() for _, file, _ in links_of(clone.root / "reports"))
    sql = "SELECT variant, count(*) AS n FROM rankings GROUP BY variant ORDER BY variant"
    answer = clone.run("pose2id", "query", sql).stdout
    assert "ipg_nfc" in answer
    assert answer == committed.run("pose2id", "query", sql).stdout
    assert "Running stage" not in clone.run("dvc", "repro").stdout


@pytest.mark.slow
def test_on_another_processor_what_was_pulled_is_taken_over(
    committed: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    committed.run("dvc", "push")
    clone = Project(tmp_path / "clone")
    subprocess.run(
        ["git", "clone", "-q", str(committed.root), str(clone.root)],
        check=True,
        capture_output=True,
    )
    # The libraries' own switches: this processor computes as one without AVX-512 does.
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    monkeypatch.setenv("DNNL_MAX_CPU_ISA", "AVX2")
    clone.run("dvc", "pull")
    assert "Running stage" not in clone.run("dvc", "repro").stdout
    assert not (clone.root / ".cache" / "features").exists()
    pulled = rows_of(clone.root)

    gallery = clone.root / "data" / "demo" / "market" / "bounding_box_test"
    image = sorted(gallery.glob("[0-9]*_c1s1_*.jpg"))[-1]
    pid, camera, _, number = image.name.split("_")
    (gallery / f"{pid}_{camera}_990000_{number}").write_bytes(image.read_bytes() + b"another file")
    # Drawings that came out the same to the byte have their features already.
    for stage, n_made in (("index", ()), ("generate", (2,)), ("features", (1, 2, 3))):
        for folder in ("generated", "features"):
            if folder.startswith(stage[:6]):
                shutil.rmtree(clone.root / "data" / folder / "gallery")  # as DVC does
        done = clone.run("pose2id", "stage", stage, "gallery")
        counts = [int(match[3]) for match in COUNTS.finditer(done.stdout + done.stderr)]
        assert not n_made or sum(counts) in n_made, done.stderr
    now = rows_of(clone.root)
    assert len(now) == len(pulled) + 5
    assert all(now[key] == row for key, row in pulled.items())


def rows_of(root: Path) -> dict[tuple[str, str, int], object]:
    """Pictures and features of the gallery by table, image and pose."""
    return {
        (folder, row["image_id"], row["pose_id"]): row.get("image", row.get("feature"))
        for folder in ("generated", "features")
        for row in read_table(root / "data" / folder / "gallery").to_pylist()
    }


@pytest.mark.slow
def test_an_experiment_reuses_pictures_and_shows_its_difference(committed: Project):
    done = committed.run("dvc", "exp", "run", "-S", "centralize.fuse.eta=0.0")
    assert "Running stage 'centralize'" in done.stdout
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
