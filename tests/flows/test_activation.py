"""`dvc repro` finds the command without an activated environment, and heeds an activated one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import copy_project

BINARIES = Path(sys.executable).parent


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project with this Python's environment as its .venv."""
    if not (BINARIES / "pose2id").is_file():
        pytest.skip("needs the installed command: pip install -e .")
    root = copy_project(tmp_path / "project").root
    (root / ".venv").symlink_to(BINARIES.parent)
    return root


@pytest.mark.parametrize("dvc", [["dvc"], ["python", "-m", "dvc"]], ids=["dvc", "module"])
def test_the_environment_in_the_folder_need_not_be_activated(project: Path, dvc: list[str]):
    program, *rest = dvc
    command = [str(project / ".venv" / "bin" / program), *rest, "repro", "poses"]
    environment = {"HOME": str(project), "DVC_NO_ANALYTICS": "1"}
    subprocess.run(command, cwd=project, env=environment, check=True)
    assert (project / "data" / "poses.parquet").is_file()


def test_an_activated_environment_comes_first(project: Path):
    other = project / "other"
    other.mkdir()
    (other / "pose2id").write_text('#!/bin/sh\necho "$@" > called.txt\ntouch data/poses.parquet\n')
    (other / "pose2id").chmod(0o755)
    environment = {
        "HOME": str(project),
        "PATH": os.pathsep.join([str(other), os.defpath]),
        "DVC_NO_ANALYTICS": "1",
    }
    (project / "data/keypoints/query").mkdir(parents=True, exist_ok=True)
    (project / "data/keypoints/query/part.parquet").touch()
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", "poses"]
    subprocess.run(command, cwd=project, env=environment, check=True)
    assert (project / "called.txt").read_text() == "stage poses\n"
