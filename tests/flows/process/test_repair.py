"""What a kill leaves of DVC's own files is put in order, and a live holder keeps its lock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from dvc.repo import Repo
from typer.testing import CliRunner

from flows.cli.main import app
from flows.process.repair import mend_dvc_state


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty DVC project."""
    Repo.init(str(tmp_path), no_scm=True).close()
    (tmp_path / ".dvc" / "tmp").mkdir(exist_ok=True)
    return tmp_path


def write_lock(root: Path, pid: int) -> None:
    """What DVC notes while a process writes `a.parquet`."""
    held = {"write": {"a.parquet": {"pid": pid, "cmd": "dvc repro"}}, "read": {}}
    (root / ".dvc" / "tmp" / "rwlock").write_text(json.dumps(held), encoding="utf-8")


def writers(root: Path) -> list[str]:
    """Paths that DVC believes to be written now."""
    return list(json.loads((root / ".dvc" / "tmp" / "rwlock").read_text())["write"])


def test_half_written_files_are_mended_by_the_command(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / ".dvc" / "tmp" / "rwlock").write_text("")
    (root / "dvc.lock").write_text("schema: '2.0'\nstages:\n  index@que")
    monkeypatch.chdir(root)
    assert "in order" in CliRunner().invoke(app, ["mend"]).output
    assert writers(root) == []
    assert not (root / "dvc.lock").exists()
    assert (root / ".cache" / "dvc.lock.damaged").is_file()


def test_a_live_holder_keeps_its_lock(root: Path) -> None:
    write_lock(root, os.getpid())
    mend_dvc_state(root)
    assert writers(root) == ["a.parquet"]


def test_the_lock_of_a_process_that_is_gone_is_forgotten(root: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write_lock(root, gone.pid)
    mend_dvc_state(root)
    assert writers(root) == []


def test_the_lock_of_a_dead_process_that_nobody_collected_is_forgotten(root: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    while psutil.Process(dead.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    write_lock(root, dead.pid)
    mend_dvc_state(root)
    dead.wait()
    assert writers(root) == []


def test_the_lock_of_an_earlier_process_of_the_same_number_is_forgotten(root: Path) -> None:
    write_lock(root, os.getpid())
    before = psutil.Process().create_time() - 60
    os.utime(root / ".dvc" / "tmp" / "rwlock", (before, before))
    mend_dvc_state(root)
    assert writers(root) == []
