"""One machine gives the same bytes, whatever the number of threads and workers.

The stages run in processes of their own, as a user's do: how many threads a library takes is read
from the environment when it is first imported. The networks are large enough to be cut among
threads: with as many as the machine has, their bytes would differ.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.flows.conftest import Stages

CHAIN = """
import sys
from pathlib import Path
from flows.cli.stage import run_stage
for stage in sys.argv[1:]:
    for split in ("query", "gallery"):
        run_stage(stage, split, Path("params.yaml"), Path())
"""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def outs_of(
    project: Stages,
    tmp_path: Path,
    workers: int | str,
    threads: str | None,
    stages: tuple[str, ...] = ("generate", "features"),
) -> dict[str, bytes]:
    """Bytes of all outs of a copy that has run some stages with nothing in its cache."""
    copy = tmp_path / f"{workers}-{threads}"
    shutil.copytree(project.root, copy)
    run = Stages(copy)
    run.set(runtime__workers=workers)
    environment = {name: value for name, value in os.environ.items() if name not in THREADS}
    if threads is not None:
        environment |= dict.fromkeys(THREADS, threads)
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", CHAIN, *stages],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return {
        str(path.relative_to(copy)): path.read_bytes()
        for folder in ("data", "reports")
        for path in (copy / folder).rglob("*")
        if path.is_file() and "data_docs" not in path.parts and path.suffix != ".duckdb"
    }


@pytest.fixture
def project(stages: Stages) -> Stages:
    """The shipped generator and extractor at their own sizes, two images a split."""
    shutil.copytree(ROOT / "models" / "ipg-small", stages.root / "models" / "ipg-small")
    stages.set(
        generate__model="models/ipg-small",
        features__input=None,
        splits=["query", "gallery"],
        tune__split="gallery",
        generate__batch_size=2,
        features__batch_size=8,
    )
    stages.stages("poses")
    for split in ("query", "gallery"):
        stages.stage("index", split)
    return stages


@pytest.mark.slow
def test_workers_and_threads_change_no_byte(project: Stages, tmp_path: Path) -> None:
    folder = tmp_path.parent / f"{tmp_path.name}-runs"
    expected = outs_of(project, folder, 1, "1")
    assert {Path(name).parts[1] for name in expected} >= {"generated", "features"}
    for workers, threads in ((1, None), (2, "2"), (3, None)):
        found = outs_of(project, folder, workers, threads)
        different = [name for name in expected if found.get(name) != expected[name]]
        assert not different, (workers, threads)
        assert found.keys() == expected.keys()
