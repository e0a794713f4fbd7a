"""`dvc repro` and the Prefect flow: the same stages, the same bytes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tasks.tables.store import read_table
from tests.conftest import ROOT, Project


@pytest.fixture(scope="module")
def by_flow(tiny_project: Callable[[], Project]) -> Project:
    project = tiny_project()
    project.run("pose2id", "run")
    return project


@pytest.mark.slow
def test_both_ways_leave_the_same_bytes(ran_project: Project, by_flow: Project):
    expected, found = ran_project.outs(), by_flow.outs()
    assert set(found) == set(expected)
    assert [path for path in expected if found[path] != expected[path]] == []


@pytest.mark.slow
def test_a_second_run_of_either_does_nothing(ran_project: Project, by_flow: Project):
    before = ran_project.outs(), by_flow.outs()
    assert "Running stage" not in ran_project.run("dvc", "repro").stdout
    by_flow.run("pose2id", "run")
    assert (ran_project.outs(), by_flow.outs()) == before
    first, second = read_table(by_flow.root / "data" / "runs.parquet").to_pylist()
    assert first["outcome"] == second["outcome"] == "completed"
    assert "generate@query" in first["stage_seconds_json"]
    assert second["stage_seconds_json"] == "{}"
    assert second["dvc_lock_sha256"] == first["dvc_lock_sha256"]


@pytest.mark.slow
def test_without_a_server_the_flow_says_what_to_do(ran_project: Project, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    done = ran_project.run("pose2id", "run", check=False)
    assert done.returncode == 2
    assert "no Prefect server answers" in done.stderr
    assert "dvc repro" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_failed_gate_fails_the_run_with_its_reasons(ran_copy: Project, monkeypatch):
    told = ran_copy.root / "told.json"
    monkeypatch.setenv("POSE2ID_ALERT_COMMAND", f"cp /dev/stdin {told}")
    before = ran_copy.outs()
    ran_copy.set(validate__min_pixel_std=127.5)
    done = ran_copy.run("pose2id", "run", check=False)
    assert done.returncode == 1
    assert "stage validate@query failed" in done.stderr
    assert "max_quarantine_rate" in done.stderr
    assert "Traceback" not in done.stderr.rpartition("error: ")[2]
    assert "validate@query" in json.loads(told.read_text(encoding="utf-8"))["text"]
    last = read_table(ran_copy.root / "data" / "runs.parquet").to_pylist()[-1]
    assert "validate@query" in last["outcome"]
    ran_copy.set(validate__min_pixel_std=0.0)
    ran_copy.run("dvc", "checkout")
    assert ran_copy.outs() == before


@pytest.mark.slow
def test_a_changed_parameter_reruns_what_depends_on_it_and_nothing_else(ran_copy: Project):
    def of(stage: str) -> set[str]:
        return {f"{stage}@{split}" for split in ("query", "gallery")}

    # What stands behind these runs only if their tables change.
    expected = {
        "generate__seed": of("generate"),
        "features__batch_size": of("features"),
        "centralize__fuse__eta": {"centralize"},
        "centralize__nfc__k1": {"centralize"},
        "score__top_k": {"score"},
        "runtime__retries": set(),
    }
    for name, stages in expected.items():
        original = (ran_copy.root / "params.yaml").read_bytes()
        ran_copy.set(**{name: 1})
        dry = ran_copy.run("dvc", "repro", "--dry").stdout
        assert set(re.findall(r"Running stage '(.+)':", dry)) == stages, name
        (ran_copy.root / "params.yaml").write_bytes(original)


@pytest.mark.slow
def test_what_ran_while_the_server_started_is_shown_and_recorded(ran_copy: Project):
    ran_copy.set(centralize__fuse__eta=1.7)
    said = ran_copy.run("pose2id", "run").stderr
    assert re.search(r"centralize: ran for \d", said)
    assert "index@query: nothing to do" in said
    assert "Running stage" not in ran_copy.run("dvc", "repro").stdout
    (ran_copy.root / "data" / "views.sql").write_text("no SQL")
    done = ran_copy.run("pose2id", "run", check=False)
    assert done.returncode == 1
    assert "stage report failed: " in done.stderr
    assert "views.sql" in done.stderr.rpartition("error: ")[2]
    first, second = read_table(ran_copy.root / "data" / "runs.parquet").to_pylist()[-2:]
    assert set(json.loads(first["stage_seconds_json"])) >= {"centralize", "score", "report"}
    assert first["outcome"] == "completed"
    assert "stage report failed" in second["outcome"]
    database = sqlite3.connect(ran_copy.root / ".cache" / "prefect" / "prefect.db")
    with contextlib.closing(database):
        query = "SELECT name, state_type FROM task_run ORDER BY start_time"
        shown = database.execute(query).fetchall()
    assert ("centralize", "COMPLETED") in shown
    assert shown[-1] == ("report", "FAILED")


def test_a_first_command_prepares_the_home_of_prefect(tmp_path: Path):
    """Prefect makes its folder, but not the one above: its server could then open no database."""
    unset = {key: value for key, value in os.environ.items() if key != "PREFECT_HOME"}
    environment = {**unset, "PYTHONPATH": str(ROOT)}
    code = "from flows.process import environment as e; e.prepare(); e.make_prefect_home()"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / ".cache" / "prefect").is_dir()


@pytest.mark.slow
def test_ctrl_c_ends_the_flow_but_not_its_server_first(ran_copy: Project):
    """The temporary server is in the same process group; without it the flow cannot end."""
    with generating(ran_copy) as flow:
        os.killpg(flow.pid, signal.SIGINT)
        assert flow.wait(60) != 0
    said = (ran_copy.root / "said.txt").read_text(encoding="utf-8")
    assert "the run was stopped by SIGINT; finished stages and rows are kept" in said
    assert "Connection refused" not in said


@pytest.mark.slow
def test_a_flow_ends_with_its_temporary_server(ran_copy: Project):
    with generating(ran_copy) as flow:
        children = psutil.Process(flow.pid).children()
        next(child for child in children if "prefect.server" in " ".join(child.cmdline())).kill()
        assert flow.wait(60) == 1
    said = (ran_copy.root / "said.txt").read_text(encoding="utf-8")
    assert "the temporary Prefect server has ended" in said
    assert "run the same command again" in said


@contextlib.contextmanager
def generating(project: Project) -> Iterator[subprocess.Popen[bytes]]:
    """A flow in a process group of its own that is drawing pictures."""
    project.set(generate__seed=1)
    said = project.root / "said.txt"
    with said.open("wb") as output:
        flow = subprocess.Popen(
            [sys.executable, "-m", "pose2id", "run"],
            cwd=project.root,
            env=project.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while flow.poll() is None and b"Beginning subflow run" not in said.read_bytes():
            time.sleep(0.2)
        yield flow
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(flow.pid, signal.SIGKILL)
