"""The command `pose2id` as a user meets it: help, options of all commands, errors, exit codes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from flows.cli.commands import COMMANDS, SECTIONS, summary
from flows.cli.main import app
from tests.conftest import ROOT

HEAVY = ("torch", "numpy", "pandas", "pyarrow", "duckdb", "prefect", "dvc", "pydantic", "rich")
OLD_NAMES = {path.stem for path in (ROOT / "flows" / "aliases").glob("*.py")}
RENAMED = {"pipeline": "run", "mending": "mend"}
IMPORTED = """
import runpy, sys
try:
    runpy.run_module("pose2id", run_name="__main__", alter_sys=True)
finally:
    sys.stderr.write(f"imported: {' '.join(name for name in HEAVY if name in sys.modules)}")
"""


def start(*arguments: str, folder: Path, module: str = "pose2id") -> subprocess.CompletedProcess:
    """`python -m MODULE ...` in a folder, with nothing of this process's environment."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env={"PATH": os.defpath, "HOME": str(folder), "PYTHONPATH": str(ROOT), "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_heavy_and_leaves_nothing_behind(command: str, tmp_path: Path):
    code = IMPORTED.replace("HEAVY", repr(HEAVY))
    done = subprocess.run(
        [sys.executable, "-c", code, *filter(None, [command]), "--help"],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"Usage: pose2id {command}".rstrip() in done.stdout
    assert done.stderr == "imported: "
    assert list(tmp_path.iterdir()) == []


def test_the_help_lists_every_command_but_those_of_dvc_yaml(tmp_path: Path):
    text = start("--help", folder=tmp_path).stdout
    words = " ".join(text.split())
    for name in COMMANDS:
        assert (f"{name} {summary(name)}" in words) == (name not in SECTIONS["Hidden"])
    assert "Exit codes" in text


def test_every_module_with_a_command_is_listed():
    modules = (ROOT / "flows" / "cli").glob("*.py")
    assert {path.stem for path in modules if "\napp = " in path.read_text()} - {"main"} == set(
        COMMANDS
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_commands_and_their_options_are_completed(shell: str, tmp_path: Path):
    def complete(words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "pose2id"],
            cwd=tmp_path,
            env={
                "PYTHONPATH": str(ROOT),
                "_POSE2ID_COMPLETE": f"complete_{shell}",
                "_TYPER_COMPLETE_ARGS": words,
                "_TYPER_COMPLETE_FISH_ACTION": "get-args",
                "COMP_WORDS": words,
                "COMP_CWORD": str(len(words.split()) - 1),
            },
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert "query" in complete("pose2id qu")
    assert "--as-it-is" in complete("pose2id report --")
    assert "prune" in complete("pose2id cache pr")


@pytest.mark.parametrize(
    "arguments",
    [
        ("frobnicate",),
        ("query", "--frobnicate"),
        ("--root", "nowhere", "query"),
        ("--params", "nowhere.yaml", "query"),
        ("export",),
        ("watch", "--every", "soon"),
    ],
    ids=" ".join,
)
def test_a_usage_error_names_the_mistake_and_ends_with_2(
    arguments: tuple[str, ...], tmp_path: Path
):
    done = start(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert "Usage: pose2id" in done.stderr
    assert "--help" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_cannot_be_done_is_one_paragraph_and_ends_with_2(tmp_path: Path):
    done = start("query", "results", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "params.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_work_that_fails_ends_with_1(tmp_path: Path):
    shutil.copy2(ROOT / "params.yaml", tmp_path)
    (tmp_path / "data").write_text("a file where a folder must be")
    refused = start("stage", "poses", folder=tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: {}")
    undone = start("report", folder=tmp_path)  # DVC finds no project here
    assert (refused.returncode, undone.returncode) == (1, 1)
    assert "dvc repro ended with exit code" in undone.stderr.rpartition("error: ")[2]


def test_ctrl_c_ends_with_130(tmp_path: Path):
    shutil.copy2(ROOT / "params.yaml", tmp_path)
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "watched.txt").write_text("another")
    code = (
        "import flows.orchestration.watch as watch\n"
        "def signature(root):\n"
        "    print('looking', flush=True)\n"
        "    import time; time.sleep(600)\n"
        "watch.signature = signature\n"
        "from flows.cli.main import main; main(['watch'])\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job's is ignored
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "looking\n"
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "Traceback" not in errors


def test_the_root_is_the_project_and_paths_stay_those_of_the_caller(tmp_path: Path):
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for folder in (project, elsewhere):
        folder.mkdir()
    shutil.copy2(ROOT / "params.yaml", project)
    done = start("--root", "../project", "stage", "poses", folder=elsewhere)
    assert done.returncode == 0, done.stderr
    assert (project / "data" / "poses.parquet").is_file()
    shutil.move(project / "params.yaml", elsewhere / "mine.yaml")
    for arguments in (
        ("--root", "../project", "--params", "mine.yaml", "stage", "poses"),
        ("--root", "../project", "stage", "poses", "--params", "mine.yaml"),
    ):
        (project / "data" / "poses.parquet").unlink()
        assert start(*arguments, folder=elsewhere).returncode == 0
        assert (project / "data" / "poses.parquet").is_file()
    assert [path.name for path in elsewhere.iterdir()] == ["mine.yaml"]


def test_a_command_without_parameters_of_its_own_refuses_them(tmp_path: Path):
    (tmp_path / "mine.yaml").touch()
    done = start("--params", "mine.yaml", "run", folder=tmp_path)
    assert done.returncode == 2
    assert "params.yaml" in done.stderr


def test_the_commands_need_the_checkout(tmp_path: Path):
    shutil.copytree(ROOT / "pose2id", tmp_path / "pose2id")
    done = subprocess.run(
        [sys.executable, "-m", "pose2id", "--help"],
        cwd=tmp_path,
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "checkout" in done.stderr


@pytest.mark.parametrize("old", sorted(OLD_NAMES))
def test_the_names_of_the_release_before_still_work(old: str, tmp_path: Path):
    new = RENAMED.get(old, old)
    by_old = start("--help", folder=tmp_path, module=f"flows.{old}")
    by_new = start(new, "--help", folder=tmp_path)
    assert by_old.stdout == by_new.stdout
    assert by_old.returncode == by_new.returncode == 0
    assert by_old.stderr == f"`python -m flows.{old}` is now `pose2id {new}`\n"


def test_version_names_what_results_depend_on(tmp_path: Path):
    done = start("version", folder=tmp_path)
    found = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert found["python"] == sys.version.split()[0]
    assert set(found) >= {"pose2id", "torch", "processor"}


def test_help_of_the_whole_is_made_without_any_command():
    assert get_command(app).list_commands(None) == COMMANDS
