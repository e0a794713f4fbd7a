"""A job over two machines, one of which dies: nothing is lost, nothing finished is done again."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.tables.store import shard_of
from tests.clusters import cluster
from tests.flows.conftest import TINY, Stages, eight_pictures
from tests.flows.orchestration.test_runners import needs
from tests.machines import needs_machines

IMAGES_PER_SHARD = 4
STORED_BEFORE = 2  # batches of each shard when the machine dies
STAGE = (sys.executable, "-m", "pose2id", "stage", "generate", "gallery")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Stages:
    """Two shards of equal size, a batch per picture, each of which takes a while."""
    made = eight_pictures(tmp_path_factory.mktemp("project"), tiny_model)
    made.set(splits=["query", "gallery"], tune__split="gallery", generate__batch_size=1)
    made.set(generate__steps=60)
    wanted = Counter({0: IMAGES_PER_SHARD, 1: IMAGES_PER_SHARD})
    for path in made.images("gallery").iterdir():
        path.unlink()
    for pid in range(1, 100):
        name = f"{pid:04d}_c2s1_000001_00.png"
        shard = shard_of(f"gallery/{name.removesuffix('.png')}", 2)
        if wanted[shard]:
            made.add_image("gallery", name)
            wanted[shard] -= 1
    made.stages("poses")
    made.stage("index", "gallery")
    return made


@pytest.fixture(scope="module")
def expected(project: Stages) -> dict[str, bytes]:
    """The tables that threads of one machine leave."""
    project.stage("generate", "gallery")
    return parts(project)


def parts(project: Stages) -> dict[str, bytes]:
    folder = project.root / "data" / "generated" / "gallery"
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


def segments(project: Stages) -> list[Path]:
    return sorted((project.root / ".cache" / "generated").glob("shard-*/rows-*.parquet"))


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_a_machine_that_dies_costs_the_batch_it_was_at(
    project: Stages, expected: dict[str, bytes], runner: str, tmp_path: Path
):
    needs(runner)
    needs_machines()
    for path in (*segments(project), *(project.root / "data/generated").rglob("*.parquet")):
        path.unlink()
    with cluster(runner, tmp_path) as there:
        project.set(runtime__runner=runner, runtime__workers=2, runtime__address=there.address)
        with (tmp_path / "stage.log").open("wb") as log:
            stage = subprocess.Popen(
                STAGE, cwd=project.root, env=there.environment, stdout=log, stderr=log
            )
        while not (stored := both_at_work(project)):
            assert stage.poll() is None, (tmp_path / "stage.log").read_text(encoding="utf-8")
            time.sleep(0.02)
        there.nodes[1].kill()
        code = stage.wait(300)
    assert code == 0, (tmp_path / "stage.log").read_text(encoding="utf-8")
    assert parts(project) == expected
    assert {path: path.stat().st_ino for path in stored} == stored  # none was written again
    rows = Counter(key for path in segments(project) for key in keys(path))
    assert len(rows) == 2 * IMAGES_PER_SHARD * len(TINY["poses__ids"])
    assert set(rows.values()) == {1}


def both_at_work(project: Stages) -> dict[Path, int]:
    """The stored batches and their inodes, once both shards have some and none is finished."""
    stored = {path: path.stat().st_ino for path in segments(project)}
    of_shard = Counter(path.parent.name for path in stored)
    ready = len(of_shard) == 2 and min(of_shard.values()) >= STORED_BEFORE
    assert not parts(project), "a shard was finished before the other had begun"
    return stored if ready else {}


def keys(segment: Path) -> list[str]:
    found: list[str] = pq.read_table(segment, columns=["key"]).column("key").to_pylist()
    return found
