"""Ray and Dask on several machines of `tests.machines`, and a Prefect server for all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.orchestration.temporary_server import SETTINGS
from tests.conftest import ROOT
from tests.machines import Machine, machines

READY_WITHIN_S = 180.0
POLL_S = 0.1
API = 4200  # ports; each machine has all of its own
RAY, RAY_CLIENT, DASK = 6379, 10001, 8786
_BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Cluster:
    """A head, which does no shards, and nodes with one worker each.

    Attributes:
        address: The value of `runtime.address`.
        nodes: The machines that do shards.
        environment: What a project's commands start with.
    """

    address: str
    nodes: list[Machine]
    environment: dict[str, str]


@contextmanager
def cluster(runner: str, folder: Path, n_nodes: int = 2) -> Iterator[Cluster]:
    """Starts a cluster and waits until all its nodes are there.

    Args:
        runner: `ray` or `dask`.
        folder: For logs and the server's files.
        n_nodes: How many do shards.
    """
    with machines(n_nodes + 1) as (head, *nodes):
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",
            "PREFECT_API_URL": f"http://{head.address}:{API}/api",
            "PREFECT_HOME": str(folder / "prefect"),
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": "disabled",
        }
        api = (sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app")
        _start(
            head,
            *(*api, "--host", head.address, "--port", f"{API}", "--lifespan", "on"),
            log=folder / "server.log",
            environment={**environment, **SETTINGS},
        )
        address = (_ray if runner == "ray" else _dask)(head, nodes, folder, environment)
        _wait(lambda: _answers(f"{environment['PREFECT_API_URL']}/health"), folder / "server.log")
        yield Cluster(address, nodes, environment)


def _ray(head: Machine, nodes: list[Machine], folder: Path, environment: dict[str, str]) -> str:
    start = (str(_BIN / "ray"), "start", "--disable-usage-stats", "--node-ip-address")
    as_head = ("--head", "--port", f"{RAY}", "--num-cpus", "0", "--include-dashboard", "false")
    _finish(head, *start, head.address, *as_head, log=folder / "head.log", environment=environment)
    for node in nodes:
        log = folder / f"{node.address}.log"
        joins = (node.address, "--address", f"{head.address}:{RAY}", "--num-cpus", "1")
        _finish(node, *start, *joins, log=log, environment=environment)
    return f"ray://{head.address}:{RAY_CLIENT}"


def _dask(head: Machine, nodes: list[Machine], folder: Path, environment: dict[str, str]) -> str:
    address = f"tcp://{head.address}:{DASK}"
    dask = str(_BIN / "dask")
    quiet = {**environment, "DASK_LOGGING__DISTRIBUTED": "info"}
    scheduler = (dask, "scheduler", "--host", head.address, "--no-dashboard")
    _start(head, *scheduler, log=folder / "head.log", environment=quiet)
    worker = (dask, "worker", address, "--nthreads", "1", "--no-dashboard", "--host")
    logs = [folder / f"{node.address}.log" for node in nodes]
    for node, log in zip(nodes, logs, strict=True):
        _start(node, *worker, node.address, log=log, environment=quiet)
    for log in logs:
        _wait(lambda log=log: "Registered to" in log.read_text(encoding="utf-8"), log)
    return address


def _start(
    machine: Machine, *command: str, log: Path, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return machine.start(command, environment, file)


def _finish(machine: Machine, *command: str, log: Path, environment: dict[str, str]) -> None:
    if _start(machine, *command, log=log, environment=environment).wait(READY_WITHIN_S):
        pytest.fail(f"{command} failed:\n{log.read_text(encoding='utf-8')}")


def _wait(is_ready: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not is_ready():
        if time.monotonic() > deadline:
            pytest.fail(f"{log} after {READY_WITHIN_S} s:\n{log.read_text(encoding='utf-8')}")
        time.sleep(POLL_S)


def _answers(address: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with suppress(OSError):
        return bool(direct.open(address, timeout=READY_WITHIN_S).status == 200)
    return False
