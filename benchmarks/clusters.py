"""What Ray and Dask cost and bring: the same stage by threads, processes and both, 1, 2, 4 workers.

    python -m benchmarks.clusters                      runners of this machine
    python -m benchmarks.clusters --nodes ray dask     two nodes, one of which dies (needs root)

The stage `generate` draws the queries of a copy of the project with the shipped generator, from
nothing but the index. Start-up is what passes until the first batch of pictures is stored: imports,
Prefect's server, the cluster, the networks. Throughput is that of the pictures after it. All runs
must leave the same bytes; else the exit code is 1.

`--nodes` runs the stage on two nodes in network namespaces of their own, on a cluster that is there
already, three times: undisturbed; with the processes of one node killed in the middle; with its
cable pulled, of which nobody is told. Lost is what that costs against the undisturbed run. Finished
batches must not be drawn again; else the exit code is 1.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import print_machine
from tests.clusters import cluster
from tests.conftest import Project, copy_project

STAGE = (sys.executable, "-m", "pose2id", "stage", "generate", "query")
RUNNERS = ("threads", "processes", "ray", "dask")
BATCH, POSES = 4, 8
POLL_S = 0.02
NICE = {"RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}
KILLED_AT = 0.4  # of the batches


@dataclass(frozen=True)
class Run:
    """One run of the stage.

    Attributes:
        first_s: Seconds until the first batch was stored.
        last_s: Until the last one was.
        total_s: Until the process ended.
        batches: All that were stored.
        n_after_first: Batches stored after those of the first look.
        outs: The bytes that it left.
        kept: Whether no batch was stored a second time.
    """

    first_s: float
    last_s: float
    total_s: float
    batches: frozenset[Path]
    n_after_first: int
    outs: dict[str, bytes]
    kept: bool

    def row(self) -> str:
        """Start-up, pictures a second after it, and all seconds."""
        rate = self.n_after_first * BATCH * POSES / max(self.last_s - self.first_s, 1e-9)
        return f"{self.first_s:>12.1f}{rate:>14.1f}{self.total_s:>10.1f}"


def batches(project: Project) -> dict[Path, int]:
    """The stored batches and their inodes, which change when one is written again."""
    stored = {}
    for path in (project.root / ".cache" / "generated").glob("shard-*/rows-*.parquet"):
        try:
            stored[path] = path.stat().st_ino
        except FileNotFoundError:  # joined with others just now
            continue
    return stored


def run(
    project: Project,
    environment: dict[str, str],
    disturb: Callable[[], None] | None = None,
    n_batches: int = 0,
) -> Run:
    """Runs the stage from nothing and watches the batches arrive."""
    shutil.rmtree(project.root / ".cache" / "generated", ignore_errors=True)
    shutil.rmtree(project.root / "data" / "generated", ignore_errors=True)
    seen: dict[Path, int] = {}
    first: tuple[float, int] | None = None
    kept, last_s, started = True, 0.0, time.monotonic()
    with tempfile.TemporaryFile() as log:
        stage = subprocess.Popen(STAGE, cwd=project.root, env=environment, stdout=log, stderr=log)
        while stage.poll() is None:
            now = batches(project)
            kept &= all(seen[path] == inode for path, inode in now.items() if path in seen)
            if now.keys() - seen.keys():
                last_s = time.monotonic() - started
                first = first or (last_s, len(now))
            seen |= now
            if disturb is not None and len(seen) >= KILLED_AT * n_batches:
                disturb()
                disturb = None
            time.sleep(POLL_S)
        total_s = time.monotonic() - started
        if stage.returncode or first is None:
            log.seek(0)
            raise SystemExit(log.read().decode(errors="replace"))
    folder = project.root / "data" / "generated" / "query"
    outs = {path.name: path.read_bytes() for path in sorted(folder.glob("*.parquet"))}
    return Run(first[0], last_s, total_s, frozenset(seen), len(seen) - first[1], outs, kept)


def demo(folder: Path, n_shards: int) -> Project:
    """The project with its rendered people, and nothing drawn yet."""
    project = copy_project(folder)
    project.set(shards=n_shards, generate__batch_size=BATCH)
    project.run("dvc", "repro", "-q", "index@query", "poses")
    return project


def compare_runners(project: Project, workers: list[int], runners: list[str]) -> bool:
    """One line per runner and number of workers; whether all left the same bytes."""
    environment = {**project.environment, **NICE}
    print(f"{'runner':>10}{'workers':>9}{'start-up s':>12}{'pictures/s':>14}{'all s':>10}")
    outs = []
    for runner in runners:
        for n in workers:
            project.set(runtime__runner=runner, runtime__workers=n)
            done = run(project, environment)
            outs.append(done.outs)
            same = "" if done.outs == outs[0] else "   OTHER BYTES"
            print(f"{runner:>10}{n:>9}{done.row()}{same}", flush=True)
    return all(out == outs[0] for out in outs)


def compare_nodes(project: Project, runners: list[str], folder: Path) -> bool:
    """One line per runner and disturbance; whether bytes are the same and no batch came twice."""
    project.set(runtime__runner="threads", runtime__workers=2)
    alone = run(project, {**project.environment, **NICE})
    print(f"{'runner':>10}{'disturbed by':>14}{'start-up s':>12}{'pictures/s':>14}{'all s':>10}")
    print(f"{'threads':>10}{'nothing':>14}{alone.row()}", flush=True)
    fine = True
    for runner in runners:
        for disturbance in ("nothing", "its death", "its cable"):
            with cluster(runner, folder) as there:
                address = there.address
                project.set(runtime__runner=runner, runtime__workers=2, runtime__address=address)
                node = there.nodes[1]
                disturb = {"its death": node.kill, "its cable": node.unplug}.get(disturbance)
                done = run(project, {**there.environment, **NICE}, disturb, len(alone.batches))
            good = done.outs == alone.outs and done.kept
            fine &= good
            wrong = "" if good else "   OTHER BYTES, OR A BATCH TWICE"
            print(f"{runner:>10}{disturbance:>14}{done.row()}{wrong}", flush=True)
    return fine


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--runners", nargs="+", default=list(RUNNERS), choices=RUNNERS)
    parser.add_argument("--nodes", nargs="+", choices=("ray", "dask"), help="two nodes instead")
    parser.add_argument("--shards", type=int, default=8)
    options = parser.parse_args()
    print_machine()
    with tempfile.TemporaryDirectory() as name:
        project = demo(Path(name) / "project", options.shards)
        if options.nodes:
            fine = compare_nodes(project, options.nodes, Path(name))
        else:
            fine = compare_runners(project, options.workers, options.runners)
    raise SystemExit(not fine)


if __name__ == "__main__":
    main()
