"""Every runner gives the bytes of a plain loop; a worker that is killed costs one retry."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import socket
import threading
import time
from pathlib import Path

import psutil
import pytest

from flows.orchestration.clusters import ClusterError
from flows.orchestration.shards import map_shards
from tasks.stages.base import STAGES, Job, ShardReport, load_stage
from tasks.tables.params import load_params
from tests.flows.conftest import Stages

CHAIN = ("generate", "features", "validate", "centralize")
OUTS = ("generated", "features", "quality", "centralized")


def run(project: Stages) -> dict[str, bytes]:
    """All tables after the chain over one split, which finds nothing in the cache."""
    for stage in CHAIN:
        counts = project.stage(stage, "gallery" if STAGES[stage] else "")
        assert counts["made"] > 0 or stage == "validate"
    parts = [path for out in OUTS for path in (project.root / "data" / out).rglob("*.parquet")]
    assert {path.relative_to(project.root / "data").parts[0] for path in parts} == set(OUTS)
    return {str(path.relative_to(project.root)): path.read_bytes() for path in parts}


@pytest.fixture
def expected(stages: Stages) -> dict[str, bytes]:
    """Bytes of a plain loop; the cache is emptied afterwards, but the queries' tables stay."""
    stages.set(splits=["query", "gallery"], tune__split="gallery")
    stages.stages("poses")
    for split in ("query", "gallery"):
        stages.stage("index", split)
    for stage in ("generate", "features", "validate"):
        stages.stage(stage, "query")
    found = run(stages)
    clear(stages)
    return found


def clear(project: Stages) -> None:
    for folder in (project.root / ".cache", *(project.root / "data" / out for out in OUTS)):
        for path in folder.rglob("*.parquet"):
            if not any(part.startswith("query") for part in path.relative_to(project.root).parts):
                path.unlink()


def test_threads_and_processes_give_the_same_bytes(stages: Stages, expected: dict[str, bytes]):
    for runner in ("threads", "processes"):
        clear(stages)
        stages.set(runtime__runner=runner, runtime__workers=2)
        assert run(stages) == expected, runner


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["ray", "dask"])
def test_a_local_cluster_of_two_workers_gives_the_same_bytes(
    stages: Stages, expected: dict[str, bytes], runner: str
):
    needs(runner)
    stages.set(runtime__runner=runner, runtime__workers=2)
    assert run(stages) == expected


def needs(runner: str) -> None:
    package = f"prefect_{runner}"
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}: pip install 'pose2id[{runner}]'")


@pytest.mark.parametrize(("runner", "scheme"), [("ray", ""), ("ray", "ray://"), ("dask", "tcp://")])
def test_a_cluster_that_is_not_there_is_missed_at_once(
    stages: Stages, runner: str, scheme: str, caplog
):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"{scheme}127.0.0.1:{closed.getsockname()[1]}"
    stages.set(runtime__runner=runner, runtime__address=address)
    params = load_params(stages.root / "params.yaml")
    jobs = load_stage("generate").plan(params, stages.root, "query")
    caplog.set_level("INFO", "flows")
    with pytest.raises(ClusterError, match=f"{re.escape(address)}.*refused"):
        map_shards(jobs, params.runtime, lambda job, report: None)
    assert caplog.messages == [f"generate query: connecting to the {runner} cluster at {address}"]


@pytest.mark.parametrize("failures", [1, 2])
def test_a_cluster_that_gives_up_at_first_is_asked_once_more(
    stages: Stages, expected: dict[str, bytes], monkeypatch, failures: int
):
    from prefect.task_runners import ThreadPoolTaskRunner

    tries: list[int] = []

    class Hesitant(ThreadPoolTaskRunner[object]):
        """As a Ray cluster on a busy machine: its server process for us does not start in time."""

        def __enter__(self):
            tries.append(1)
            if len(tries) <= failures:
                raise ConnectionAbortedError("initialization failure from server")
            return super().__enter__()

    def hesitant(runtime: object) -> Hesitant:
        return Hesitant(max_workers=1)

    monkeypatch.setattr("flows.orchestration.cluster_shards.cluster_task_runner", hesitant)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"ray://127.0.0.1:{listening.getsockname()[1]}"
        stages.set(runtime__runner="ray", runtime__address=address)
        if failures == 1:
            clear(stages)
            assert run(stages) == expected
        else:
            with pytest.raises(ClusterError, match=f"{address}: initialization failure"):
                run(stages)
            assert len(tries) == 2


class Slow:
    """Stands in for a stage whose shards leave time to be killed."""

    @staticmethod
    def run_shard(job: Job) -> ShardReport:
        started = Path(job.root) / f"started-{job.shard}.txt"
        with started.open("a", encoding="utf-8") as log:
            log.write(f"{os.getpid()}\n")
        first_try = started.read_text(encoding="utf-8").count("\n") == 1
        if job.shard == 0 and first_try:
            time.sleep(600)
        return ShardReport(1)


def run_slow_job(job: Job) -> ShardReport:
    return Slow.run_shard(job)


def test_the_shard_of_a_killed_worker_process_is_tried_again(stages: Stages, monkeypatch):
    monkeypatch.setattr("flows.orchestration.shards.run_with_retries", run_slow_with_retries)
    stages.set(runtime__runner="processes", runtime__workers=2)
    params = load_params(stages.root / "params.yaml")
    jobs = load_stage("generate").plan(params, stages.root, "query")
    killer = kill_first_worker(stages.root / "started-0.txt")
    reports = map_shards(jobs, params.runtime, lambda job, report: None)
    killer.join()
    assert reports == [ShardReport(1)] * len(jobs)
    pids = (stages.root / "started-0.txt").read_text(encoding="utf-8").split()
    assert len(set(pids)) == 2


def run_slow_with_retries(job: Job, retries: int) -> ShardReport:
    return Slow.run_shard(job)


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["ray", "dask"])
def test_the_shard_of_a_killed_cluster_worker_is_tried_again(
    stages: Stages, runner: str, monkeypatch
):
    needs(runner)
    monkeypatch.setattr("flows.orchestration.cluster_shards.run_job", run_slow_job)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # workers import this module
    stages.set(runtime__runner=runner, runtime__workers=2)
    params = load_params(stages.root / "params.yaml")
    jobs = load_stage("generate").plan(params, stages.root, "query")
    killer = kill_first_worker(stages.root / "started-0.txt")
    reports = map_shards(jobs, params.runtime, lambda job, report: None)
    killer.join()
    assert reports == [ShardReport(1)] * len(jobs)


def kill_first_worker(started: Path) -> threading.Thread:
    """Waits until the first shard has begun, then kills the process that does it."""

    def kill() -> None:
        while not started.is_file() or not started.read_text(encoding="utf-8"):
            time.sleep(0.05)
        psutil.Process(int(started.read_text(encoding="utf-8").split()[0])).send_signal(
            signal.SIGKILL
        )

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into Linux' /proc")
def test_a_model_is_loaded_once_per_worker_not_per_shard(stages: Stages, caplog):
    from tasks.stages.generate import load_generator

    stages.set(shards=8)
    stages.stages("index", "poses")
    load_generator.cache_clear()
    stages.stage("generate", "gallery")
    assert load_generator.cache_info().misses == 1
    assert load_generator.cache_info().hits >= 7
