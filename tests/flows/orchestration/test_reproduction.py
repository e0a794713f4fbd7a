"""DVC's pass as a process of its own: what it tells, and how it ends early."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from flows.orchestration.reproduction import PassEndedError, Reproduction
from flows.process.lock import PipelineBusyError, pipeline_lock

DVC_YAML = """
stages:
  first:
    cmd: {python} -c "open('first.txt', 'w').write('1')"
    outs: [first.txt]
  second:
    cmd: {second}
    deps: [first.txt]
    outs: [second.txt]
"""
WRITES = """{python} -c "open('second.txt', 'w').write('2')\""""
FAILS = """{python} -c "raise SystemExit(3)\""""
WAITS = """{python} -c "import time; open('waits', 'w'); time.sleep(60)\""""


@pytest.fixture
def project(tmp_path: Path, monkeypatch) -> Path:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")
    monkeypatch.chdir(tmp_path)
    write(tmp_path, WRITES)
    return tmp_path


def write(project: Path, second: str) -> None:
    text = DVC_YAML.format(python=sys.executable, second=second.format(python=sys.executable))
    (project / "dvc.yaml").write_text(text)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def its_process() -> psutil.Process:
    """The process of the pass, among others that tests have started."""
    name = "flows.orchestration.reproduction"
    children = psutil.Process().children()
    return next(child for child in children if name in child.cmdline())


@contextmanager
def in_the_second_stage(project: Path) -> Iterator[tuple[Reproduction, psutil.Process]]:
    """A pass whose second stage waits, and its process."""
    write(project, WAITS)
    with Reproduction(project) as reproduction:
        stages = reproduction.stages()
        next(stages)
        reproduction.outcome()
        next(stages)
        wait_for(project / "waits")
        yield reproduction, its_process()


def told(project: Path) -> list[tuple[str, bool, str | None]]:
    """Of each stage its name, whether it ran and why it failed."""
    found = []
    with Reproduction(project) as reproduction:
        for stage in reproduction.stages():
            outcome = reproduction.outcome()
            found.append((stage.address, outcome.seconds is not None, outcome.failure))
    return found


def test_tells_of_every_stage_in_order(project: Path):
    assert told(project) == [("first", True, None), ("second", True, None)]
    assert told(project) == [("first", False, None), ("second", False, None)]
    (project / "second.txt").unlink()
    assert told(project) == [("first", False, None), ("second", True, None)]


def test_a_failed_stage_is_the_last_one(project: Path):
    write(project, FAILS)
    *_, (address, ran, failure) = told(project)
    assert (address, ran) == ("second", True)
    assert failure is not None
    assert "exited with 3" in failure


def test_what_dvc_refuses_is_said_in_its_words(project: Path):
    (project / "dvc.yaml").write_text("stages: {first: {cmd: true, deps: [a, a]}}")
    with pytest.raises(PassEndedError, match=r"dvc\.yaml"):
        told(project)


def test_holds_the_lock_of_a_run(project: Path):
    with Reproduction(project), pytest.raises(PipelineBusyError, match="pipeline flow"):
        Reproduction(project, patience_s=0)
    with pipeline_lock(project, "another", scope="run", patience_s=0):
        pass


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C as at a terminal, though a background job may have been told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_the_stage_and_is_the_reason(project: Path):
    """As at a terminal, it reaches this process and all that it has started."""
    with in_the_second_stage(project) as (reproduction, dvc):
        for process in (dvc, *dvc.children(recursive=True)):
            process.send_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        failure = reproduction.outcome().failure
    assert failure is not None
    assert "stopped by SIGINT" in failure
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_killed_pass_says_how_it_ended(project: Path):
    with in_the_second_stage(project) as (reproduction, dvc):
        dvc.kill()
        with pytest.raises(PassEndedError, match=r"ended by signal 9.*same command again"):
            reproduction.outcome()


def test_leaving_early_ends_the_pass(project: Path):
    write(project, WAITS)
    with Reproduction(project):
        wait_for(project / "waits")
        dvc = its_process()
    assert not dvc.is_running()
