"""`pose2id compare`: two runs side by side, from DVC's cache, without a checkout."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from flows.cli.main import app
from tests.tasks.factory import Spec, write_project

OBJECTS = Path(".dvc/cache/files/md5")
EXPERIMENT = "fast-fox"


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def keep(root: Path, eta: float) -> None:
    """Puts the results into DVC's cache and names them in dvc.lock, with parameters."""
    outs = []
    for table in sorted((root / "data/results").glob("*.parquet")):
        data = table.read_bytes()
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        place = root / OBJECTS / digest[:2] / digest[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        outs.append({"path": f"data/results/{table.name}", "md5": digest})
    params = {"params.yaml": {"centralize": {"fuse": {"eta": eta}}, "score.gallery": "gallery"}}
    stage = {"params": params, "outs": outs}
    (root / "dvc.lock").write_text(json.dumps({"stages": {"score": stage}}))


def run(*arguments: str):
    return CliRunner().invoke(app, ["compare", *arguments])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two runs: noisy features, then clearer ones, which are an experiment."""
    root = tmp_path_factory.mktemp("compared")
    git(root, "init", "-q")
    (root / ".dvc").mkdir()
    (root / ".gitignore").write_text("data\n.dvc\n")
    for noise, message in ((2.5, "noisy"), (0.8, "clear")):
        params = write_project(root, Spec(identities=12, queries_per_identity=2, noise=noise))
        text = yaml.safe_dump(params.model_dump(mode="json", by_alias=True))
        (root / "params.yaml").write_text(text)
        keep(root, eta=noise)
        git(root, "add", "-A")
        git(root, "commit", "-qm", message)
    git(root, "update-ref", f"refs/exps/ab/cdef/{EXPERIMENT}", "HEAD")
    git(root, "tag", "noisy", "HEAD~1")
    git(root, "reset", "-q", "--hard", "HEAD~1")
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    shutil.copytree(made, root)
    monkeypatch.chdir(root)
    return root


def scores(root: Path, revision: str) -> dict[tuple[str, str], tuple[float, int | None]]:
    """Variant and query -> AP and first rank, straight from the file that dvc.lock names."""
    lock = json.loads(git(root, "show", f"{revision}:dvc.lock"))
    (digest,) = [
        out["md5"]
        for out in lock["stages"]["score"]["outs"]
        if out["path"] == "data/results/queries.parquet"
    ]
    rows = pq.read_table(root / OBJECTS / digest[:2] / digest[2:]).to_pylist()
    return {(r["variant"], r["query_id"]): (r["ap"], r["first_hit_rank"]) for r in rows}


def test_an_experiment_is_compared_query_by_query(project: Path) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    done = run("noisy", EXPERIMENT, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    one, two = scores(project, "noisy"), scores(project, f"refs/exps/ab/cdef/{EXPERIMENT}")
    for item in found["differences"]:
        mine = [key for key in one if key[0] == item["variant"]]
        gain = sum(two[key][0] - one[key][0] for key in mine) / len(mine)
        assert item["delta"] == pytest.approx(gain)
        assert item["low"] <= gain <= item["high"]
        righted = sum(two[key][1] == 1 and one[key][1] != 1 for key in mine)
        wronged = sum(two[key][1] != 1 and one[key][1] == 1 for key in mine)
        assert (item["n_righted"], item["n_wronged"]) == (righted, wronged)
    assert {item["variant"] for item in found["differences"]} == {v for v, _ in one}
    assert len(found["flips"]) == sum((one[key][1] == 1) != (two[key][1] == 1) for key in one) > 0
    assert found["changed"] == [{"key": "centralize.fuse.eta", "before": 2.5, "after": 0.8}]
    after = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    assert after == before


def test_the_workspace_is_the_other_side_unless_one_is_named(project: Path) -> None:
    done = run("noisy", "--variant", "base", "-n", "2", "--html", "both.html")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[:5] == ["variant", "mAP", "noisy", "mAP", "workspace"]
    assert sum(line.startswith("base ") for line in lines) == 3
    html = Path("both.html").read_text(encoding="utf-8")
    assert "noisy and workspace" in html
    assert "became right" in html
    assert "<script" not in html


def test_unlike_runs_are_called_so(project: Path) -> None:
    write_project(project, Spec(identities=12, queries_per_identity=2, distractors=9))
    done = run("noisy")
    assert done.exit_code == 0, done.stderr
    assert "not like with like: n_gallery 51 and 57" in done.stderr


def test_what_cannot_be_compared_is_said_with_what_to_do(project: Path) -> None:
    done = run("nowhere")
    assert done.exit_code == 2
    assert f"no revision of git and no experiment of DVC in {project}" in done.stderr
    assert EXPERIMENT in done.stderr
    assert run("noisy", "--variant", "nfcc").exit_code == 2
    shutil.rmtree(OBJECTS)
    done = run("noisy")
    assert done.exit_code == 2
    assert "dvc fetch --all-commits score" in done.stderr
    assert run("--", "--output=x").exit_code == 2
    assert not Path("x").exists()
