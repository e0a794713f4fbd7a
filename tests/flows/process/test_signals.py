"""Signals, the lock and disks that refuse: a clear end, and nothing half-written."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.process.disk import StorageError, explained_disk_errors
from flows.process.lock import PipelineBusyError, pipeline_lock
from tasks.tables.cache import sweep
from tasks.tables.schema import Layout
from tasks.tables.store import read_table
from tests.flows.conftest import Stages

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' prctl")
BUSY = """
import sys, time
from flows.process.signals import end_on_signals
end_on_signals("generate query")
print("ready", flush=True)
while True:
    time.sleep(0.01)
"""
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE)
print(child.pid, child.stdout.readline(), flush=True)
child.wait()
"""
CHILD = """
import time
from pose2id.workers import end_with_parent
from flows.process.lock import pipeline_lock
from pathlib import Path
import signal
end_with_parent(signal.SIGKILL)
with pipeline_lock(Path(), "generate query"):
    print("ready", flush=True)
    time.sleep(600)
"""
HOLDER = """
import sys, time
from pathlib import Path
from flows.process.lock import pipeline_lock
with pipeline_lock(Path(sys.argv[1]), "generate query"):
    print("ready", flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def running(code: str, *arguments: str, cwd: Path | None = None) -> Iterator[tuple[int, str]]:
    """A Python process that has printed its first line."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    child = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=cwd,
    )
    try:
        assert child.stdout is not None
        yield child, child.stdout.readline()
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_stage_and_says_how_to_resume(number: int, code: int):
    with running(BUSY) as (child, _):
        child.send_signal(number)
        _, errors = child.communicate(timeout=30)
    assert child.returncode == code
    assert "generate query was stopped by SIG" in errors
    assert "dvc repro" in errors
    assert "Traceback" not in errors


@LINUX
def test_a_stage_whose_parent_is_killed_goes_with_it_and_frees_the_lock(tmp_path: Path):
    with running(PARENT, CHILD, cwd=tmp_path) as (parent, line):
        assert "ready" in line
        with pytest.raises(PipelineBusyError, match="generate query"):
            take(tmp_path)
        parent.kill()
        parent.wait()
        with pipeline_lock(tmp_path, "generate gallery", patience_s=30.0):
            pass


def test_a_second_writer_is_refused_naming_the_holder(tmp_path: Path):
    with running(HOLDER, str(tmp_path)) as (holder, _):
        with pytest.raises(PipelineBusyError) as refused:
            take(tmp_path)
        assert f"process {holder.pid} (generate query)" in str(refused.value)
        holder.kill()
        holder.wait()
        take(tmp_path)  # what a killed holder leaves behind is no lock


def test_a_run_and_its_stages_hold_locks_of_their_own(tmp_path: Path):
    with (
        pipeline_lock(tmp_path, "pipeline flow", scope="run"),
        pipeline_lock(tmp_path, "generate"),
        pytest.raises(PipelineBusyError, match="pipeline flow"),
    ):
        take(tmp_path, scope="run")


def take(root: Path, scope: str = "stage") -> None:
    with pipeline_lock(root, "test", scope=scope, patience_s=0.0):
        pass


def test_what_killed_writers_left_is_swept(tmp_path: Path):
    layout = Layout(tmp_path)
    left = [
        layout.data / "index" / ".tmp-a.parquet",
        layout.generated("query") / ".tmp-b.parquet",
        layout.cache / "features" / "shard-0" / ".tmp-c.parquet",
        layout.reports / ".tmp-d" / "index.html",
        layout.data / ".tmp-e" / "pose2id.duckdb",
    ]
    kept = [layout.index("query"), layout.data / "demo" / ".tmp-not-ours"]
    for path in [*left, *kept]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    sweep(layout)
    assert [path for path in left if path.exists()] == []
    assert all(path.exists() for path in kept)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_refusing_disk_is_explained(number: int):
    with pytest.raises(StorageError) as refused, explained_disk_errors("generate query 3/8"):
        raise OSError(number, os.strerror(number), "data/x.parquet")
    message = str(refused.value)
    assert message.startswith(f"generate query 3/8: {os.strerror(number)}: data/x.parquet")
    assert "dvc checkout" in message


def test_an_error_that_may_pass_is_left_to_the_retries():
    with pytest.raises(OSError, match="reset"), explained_disk_errors("generate query 3/8"):
        raise ConnectionResetError(errno.ECONNRESET, "reset")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own, 256 kB large, that can be remounted read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)):
        pytest.skip("only root may mount a small disk here")
    yield folder
    # Lazily: an exception that nobody has collected yet may hold a file open.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def mount(*arguments: str) -> bool:
    done = subprocess.run(["mount", *arguments], check=False, capture_output=True)
    return done.returncode == 0


def test_a_full_disk_fails_clearly_and_the_next_run_resumes(stages: Stages, small_disk: Path):
    stages.stages("index", "poses")
    (stages.root / "data" / "generated").symlink_to(small_disk)
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with pytest.raises(StorageError, match="No space left on device"):
        stages.stage("generate", "query")
    assert list(small_disk.rglob("*.parquet")) == []
    filler.unlink()
    assert stages.stage("generate", "query")["made"] < 6  # the rows of the first try are kept
    assert read_table(stages.root / "data" / "generated" / "query").num_rows == 6


def test_a_read_only_disk_fails_clearly_and_keeps_what_is_there(stages: Stages, small_disk: Path):
    stages.stages("index", "poses")
    (stages.root / "data" / "generated").symlink_to(small_disk)
    stages.stage("generate", "query")
    before = {path: path.read_bytes() for path in small_disk.rglob("*.parquet")}
    assert mount("-o", "remount,ro", str(small_disk))
    with pytest.raises(StorageError, match="Read-only file system"):
        stages.stage("generate", "gallery")
    assert {path: path.read_bytes() for path in small_disk.rglob("*.parquet")} == before


def test_lost_permission_fails_clearly(stages: Stages):
    if os.geteuid() == 0:
        pytest.skip("root is never refused")
    stages.stages("index", "poses")
    folder = stages.root / "data" / "generated"
    folder.mkdir()
    folder.chmod(0o500)
    with pytest.raises(StorageError, match="Permission denied"):
        stages.stage("generate", "query")
    folder.chmod(0o700)
    stages.stage("generate", "query")


def test_a_file_that_may_not_grow_is_an_error_not_a_crash(stages: Stages, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    monkeypatch.setattr("tasks.tables.store.write_sealed", refuse)
    with pytest.raises(StorageError, match=r"ulimit -f"):
        stages.stage("index", "query")
    assert list((stages.root / "data" / "index").iterdir()) == []
