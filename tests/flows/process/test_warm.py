"""Stages that share the imports of one process: as if each had been started by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.process.lock import pipeline_lock
from flows.process.warm import FIRST, THEN
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do without")

# Stands for DVC: starts a stage for each line of its input, and says what came of it.
DVC = """
import json, os, subprocess, sys
for line in sys.stdin:
    code, arguments, variables = json.loads(line)
    environment = {**os.environ, "DVC_STAGE": arguments[0], **variables}
    stage = subprocess.Popen(
        [sys.executable, "-c", code, "stage", *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    out, errors = stage.communicate()
    print(json.dumps([stage.returncode, out, errors]), flush=True)
"""
# Says what a stage finds when it begins, then ends as its arguments say.
STAGE = """
import json, os, sys
from pathlib import Path
from flows.process.warm import run_warm
arguments = sys.argv[1:]
code = run_warm(arguments)
if code is not None:
    Path("asked").write_text("yes")
    sys.exit(code)
print(json.dumps({
    "arguments": arguments, "folder": os.getcwd(), "umask": os.umask(0o22),
    "environment": dict(os.environ), "shared": "tasks.stages.base" in sys.modules,
}), flush=True)
sys.stderr.write("to stderr")
if "waits" in arguments:
    import time
    from flows.process.lock import pipeline_lock
    from flows.process.signals import end_on_signals
    end_on_signals("score")
    with pipeline_lock(Path(), "score"):
        Path("pids").write_text(f"{os.getpid()} {os.environ['DVC_ASKED_BY']}")
        time.sleep(600)
sys.exit(7 if "fails" in arguments else 0)
"""
ASKING = "import os; os.environ['DVC_ASKED_BY'] = str(os.getpid())\n" + STAGE

Outcome = tuple[int, dict[str, Any], str]


@pytest.fixture
def dvc(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """What stands for DVC, in an empty folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", DVC],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        umask=0o027,
    )
    yield process
    process.kill()
    process.communicate()


def start(dvc: subprocess.Popen[str], *arguments: str, **variables: str) -> None:
    assert dvc.stdin is not None
    dvc.stdin.write(json.dumps([ASKING, arguments, variables]) + "\n")
    dvc.stdin.flush()


def outcome(dvc: subprocess.Popen[str]) -> Outcome:
    assert dvc.stdout is not None
    code, out, errors = json.loads(dvc.stdout.readline())
    return code, json.loads(out), errors


def run(dvc: subprocess.Popen[str], *arguments: str, **variables: str) -> Outcome:
    start(dvc, *arguments, **variables)
    return outcome(dvc)


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def waiting_stage(dvc: subprocess.Popen[str], folder: Path) -> tuple[int, int]:
    """Has a stage started that waits: its process, and the one that asked for it."""
    start(dvc, "score", "waits")
    wait_for((folder / "pids").exists)
    wait_for(lambda: bool((folder / "pids").read_text()))
    stage, asked = map(int, (folder / "pids").read_text().split())
    return stage, asked


def is_there(process: int) -> bool:
    """Whether a process runs; one that nobody has collected does not."""
    try:
        return ") Z" not in Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return False


def test_a_stage_finds_all_as_if_it_had_been_started_itself(
    dvc: subprocess.Popen[str], tmp_path: Path
):
    for arguments in (["centralize"], ["score", "--params", "other.yaml"]):
        code, found, errors = run(dvc, *arguments, DVC_EXP_NAME=arguments[0])
        assert (code, errors) == (0, "to stderr")
        assert found["arguments"] == ["stage", *arguments]
        assert found["shared"], "its imports were there already"
        assert (found["folder"], found["umask"]) == (str(tmp_path), 0o027)
        assert found["environment"]["DVC_STAGE"] == arguments[0]
        assert found["environment"]["DVC_EXP_NAME"] == arguments[0]
    assert (tmp_path / "asked").exists()
    code, _, _ = run(dvc, "report", "fails")
    assert code == 7


@pytest.mark.parametrize(
    ("stage", "variables"), [("generate", {}), ("score", {"OMP_NUM_THREADS": "3"})]
)
def test_a_large_stage_or_another_environment_gets_a_process_of_its_own(
    dvc: subprocess.Popen[str], stage: str, variables: dict[str, str]
):
    assert run(dvc, "centralize")[1]["shared"]
    code, found, _ = run(dvc, stage, **variables)
    assert (code, found["shared"]) == (0, False)


def test_code_that_changes_while_dvc_runs_is_not_what_a_stage_before_has_imported(
    dvc: subprocess.Popen[str], tmp_path: Path
):
    assert run(dvc, "centralize")[1]["shared"]
    fresh = ROOT / "tasks" / f"made_by_a_test_{os.getpid()}.py"
    fresh.touch()
    try:
        assert not run(dvc, "score")[1]["shared"]
    finally:
        fresh.unlink()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_process_that_dvc_started_ends_the_stage(
    dvc: subprocess.Popen[str], tmp_path: Path, number: int
):
    stage, asked = waiting_stage(dvc, tmp_path)
    assert stage != asked
    os.kill(asked, number)
    code, _, errors = outcome(dvc)
    assert code == 128 + number
    assert errors.count("score was stopped by SIG") == 1
    assert not is_there(stage)


@pytest.mark.parametrize("killed", ["the process that asked", "DVC"])
def test_a_stage_ends_with_who_started_it_and_frees_the_lock(
    dvc: subprocess.Popen[str], tmp_path: Path, killed: str
):
    stage, asked = waiting_stage(dvc, tmp_path)
    os.kill(dvc.pid if killed == "DVC" else asked, signal.SIGKILL)
    with pipeline_lock(tmp_path, "the next", patience_s=30.0):
        wait_for(lambda: not is_there(stage))


def test_nothing_is_left_when_dvc_has_ended(dvc: subprocess.Popen[str]):
    name = f"@pose2id/{os.getuid()}/{dvc.pid}"

    def is_left() -> bool:
        return name in Path("/proc/net/unix").read_text(encoding="utf-8").split()

    assert run(dvc, "centralize")[0] == 0
    assert is_left()
    dvc.communicate()  # its input ends
    wait_for(lambda: not is_left())


def test_nothing_that_must_not_be_copied_is_imported():
    code = (
        "import sys\nfrom importlib import import_module\n"
        "from flows.process.environment import leave_pandas_out, prepare\n"
        f"prepare()\nleave_pandas_out()\nfor name in {[*FIRST, *THEN]!r}: import_module(name)\n"
        "print(*{'torch', 'pandas', 'prefect', 'dvc', 'great_expectations'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == "\n"
