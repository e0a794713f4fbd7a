"""What a kill leaves of DVC's own files is put in order, and a live holder keeps its lock."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
from dvc.repo import Repo
from typer.testing import CliRunner

from flows.cli.main import app
from flows.process.repair import forget_index, mend_dvc_state, put_out_aside
from tasks.tables.schema import Layout
from tasks.tables.seal import DamagedTableError
from tasks.tables.store import write_table


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


def test_a_folder_without_git_is_no_obstacle_and_gives_git_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    mend_dvc_state(tmp_path)
    with Repo(str(tmp_path)) as repo:
        assert repo.reproduce() == []
    (tmp_path / ".git").mkdir()
    mend_dvc_state(tmp_path)
    assert not (tmp_path / ".dvc/config.local").exists()
    (tmp_path / ".dvc/config.local").write_text("[cache]\n    dir = mine\n")
    mend_dvc_state(tmp_path)
    assert "mine" in (tmp_path / ".dvc/config.local").read_text()


def fake_dvc(root: Path, path: str, content: bytes) -> Path:
    """A dvc.lock that names one out, and its copy in DVC's cache."""
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    lock = {"stages": {"index@query": {"outs": [{"path": path, "md5": digest}]}}}
    (root / "dvc.lock").write_text(json.dumps(lock), encoding="utf-8")
    copy = root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
    copy.parent.mkdir(parents=True)
    copy.write_bytes(content)
    return copy


@pytest.mark.parametrize("copy_is_damaged", [False, True])
def test_a_damaged_out_goes_aside_and_dvcs_copy_only_if_it_is_damaged(
    tmp_path: Path, copy_is_damaged: bool
) -> None:
    table = tmp_path / "data" / "index" / "query.parquet"
    write_table(table, pa.table({"a": [1]}), producer="p")
    copy = fake_dvc(tmp_path, "data/index/query.parquet", table.read_bytes())
    table.write_bytes(table.read_bytes()[:-9])
    if copy_is_damaged:
        copy.write_bytes(table.read_bytes())
    put_out_aside(tmp_path, DamagedTableError(table, "cut"))
    assert not table.exists()
    assert (tmp_path / ".cache" / "damaged" / "query.parquet").exists()
    assert copy.exists() != copy_is_damaged


def test_a_stale_index_leaves_the_run_cache_of_its_split_only(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    entries = {}
    for split in ("query", "gallery"):
        entries[split] = tmp_path / ".dvc" / "cache" / "runs" / "ab" / split / "entry"
        entries[split].parent.mkdir(parents=True)
        text = f"cmd: env PATH=... pose2id stage index\n  {split}\nouts:\n- path: x\n"
        entries[split].write_text(text, encoding="utf-8")
        write_table(Layout(tmp_path).index(split), pa.table({"a": [1]}), producer="p")
    forget_index(tmp_path, "query")
    assert [entries[split].exists() for split in entries] == [False, True]
    assert [Layout(tmp_path).index(split).exists() for split in entries] == [False, True]
