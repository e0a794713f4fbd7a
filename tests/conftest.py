"""Fixtures that several packages of tests share."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.process.environment import keep_compiled

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"

# Two test processes on two cores: more threads than cores make small networks crawl.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
keep_compiled()  # processes that tests start import the same packages again and again
# No telemetry and no model hub in any test or in any process that a test starts.
os.environ.update(
    DO_NOT_TRACK="1",
    DVC_NO_ANALYTICS="1",
    GX_ANALYTICS_ENABLED="false",
    HF_HUB_OFFLINE="1",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="120",
    RAY_USAGE_STATS_ENABLED="0",
    RAY_worker_niceness="0",  # Ray's 15 would leave its workers nothing beside other tests
)
# Prefect reads it when imported; each test process has a server and a database of its own.
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="prefect-")
atexit.register(shutil.rmtree, os.environ["PREFECT_HOME"], ignore_errors=True)

# Written beside the outs, with clock and machine in them.
BY_PRODUCTS = (
    *("data/pose2id.duckdb", "data/runs.parquet"),
    "reports/local",
)


class Project:
    """A copy of the project in a folder of its own, with its own git and DVC state."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def environment(self) -> dict[str, str]:
        """What processes of the project start with."""
        return {
            **os.environ,
            "PREFECT_HOME": str(self.root / ".cache" / "prefect"),
            "PYTHONPATH": str(self.root),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs `python -m ...` in the project's folder."""
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode:
            pytest.fail(f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def set(self, file: str = "params.yaml", **values: Any) -> None:
        """Sets values of a params file: `generate__steps=1` is `generate.steps: 1`."""
        path = self.root / file
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        for key, value in values.items():
            *sections, name = key.split("__")
            target = raw
            for section in sections:
                target = target[section]
            target[name] = value
        path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")

    def outs(self) -> dict[str, bytes]:
        """Bytes of every file that the pipeline made and DVC keeps, by path; and of dvc.lock."""
        folders = [self.root / "data", self.root / "reports"]
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        names = {str(path.relative_to(self.root)): path for path in files}
        kept = {name: path for name, path in names.items() if not name.startswith(BY_PRODUCTS)}
        kept["dvc.lock"] = self.root / "dvc.lock"
        return {name: path.read_bytes() for name, path in kept.items()}


def copy_project(target: Path) -> Project:
    """Copies the code and parameters of this checkout, without tests and without outs."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, tracked.split("\0")):
        source = ROOT / name
        if source.is_file() and not name.startswith(("tests/", "docs/", "benchmarks/", "dvc.lock")):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=target, check=True, capture_output=True)
    return Project(target)


def small_project(target: Path) -> Project:
    """A copy of the project with a handful of rendered people and one sampling step."""
    project = copy_project(target)
    project.set(
        "data/demo/params.yaml",
        train_identities=2,
        test_identities=4,
        cameras=2,
        images_per_camera=1,
        distractors=1,
        junk=1,
    )
    project.set(
        splits=["query", "gallery"],
        tune__split="gallery",  # nobody else is there: the rest of `auto` is the safe chain
        centralize__fuse__eta=8.0,
        shards=2,
        generate__steps=1,
        score__bootstrap_resamples=100,
        score__rerank__k1=5,
        score__rerank__k2=2,
    )
    return project


@pytest.fixture(scope="session")
def make_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Project]:
    """Makes small copies of the project."""
    return lambda: small_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and official outputs beside a checkout, where there is one."""
    if not SHARED.is_dir():
        pytest.skip(f"needs real images and official outputs in {SHARED}")
    return SHARED
