"""What orchestration costs: the same stages as plain Python calls, by `dvc repro`, by the flow.

    python -m benchmarks.overhead [--people 4 40]
    python -m benchmarks.overhead --shards     what a shard costs on each runner of two workers

The generator is tiny, so that almost all seconds are those of orchestration; each way starts from
nothing but the images. `plain` is one process that calls every stage; DVC and the flow start one
process per stage, which imports its libraries anew.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.faults import wipe
from tests.conftest import Project
from tests.flows.conftest import save_tiny_model, tiny_copy

SHARDS = (8, 64)
RUNNERS = ("threads", "processes", "ray", "dask")
PLAIN = """
from pathlib import Path
from flows.cli.stage import run_stage
from tasks.tables.params import load_params
from tasks.stages.base import STAGES
params = Path("params.yaml")
for stage, per_split in STAGES.items():
    for split in load_params(params).splits if per_split else ("",):
        run_stage(stage, split, params, Path())
"""


def main() -> None:
    """Times the three ways at several sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, nargs="+", default=[4, 40])
    parser.add_argument("--shards", action="store_true", help="compare the runners instead")
    options = parser.parse_args()
    if options.shards:
        with tempfile.TemporaryDirectory() as name:
            compare_runners(Path(name))
        return
    print(f"{'images':>8}{'plain':>10}{'dvc':>10}{'flow':>10}{'flow - plain':>14}")
    for people in options.people:
        with tempfile.TemporaryDirectory() as name:
            n_images, plain, dvc, flow = measure(Path(name), people)
        row = f"{n_images:>8}{plain:>10.1f}{dvc:>10.1f}{flow:>10.1f}{flow - plain:>14.1f}"
        print(row, flush=True)


def measure(folder: Path, people: int) -> tuple[int, float, float, float]:
    """Number of images and seconds: plain, DVC, flow."""
    save_tiny_model(folder / "model")
    project = tiny_copy(folder / "project", folder / "model")
    project.set(splits=["train", "query", "gallery"], tune__split="train")  # as the demo
    project.set("data/demo/params.yaml", test_identities=people)
    project.run("dvc", "repro", "data/demo/dvc.yaml:render")
    project.run("pose2id", "run")  # Prefect makes its database once, which is not counted
    n_images = len(list((project.root / "data" / "demo").rglob("*.jpg")))
    return (
        n_images,
        seconds(project, "-c", PLAIN),
        seconds(project, "-m", "dvc", "repro"),
        seconds(project, "-m", "pose2id", "run"),
    )


def compare_runners(folder: Path) -> None:
    """Seconds of the stage in few and in many shards, on each runner."""
    save_tiny_model(folder / "model")
    project = tiny_copy(folder / "project", folder / "model")
    project.run("dvc", "repro", "generate@gallery")
    few, many = SHARDS
    print(f"{'runner':>10}{f'{few} shards':>12}{f'{many} shards':>12}{'a shard':>10}")
    for runner in RUNNERS:
        project.set(runtime__runner=runner, runtime__workers=2)
        found = {}
        for shards in SHARDS:
            project.set(shards=shards)
            found[shards] = seconds(
                project, "-m", "pose2id", "stage", "generate", "gallery", fresh=False
            )
        price = (found[many] - found[few]) / (many - few)
        print(f"{runner:>10}{found[few]:>12.1f}{found[many]:>12.1f}{price:>10.3f}", flush=True)


def seconds(project: Project, *arguments: str, fresh: bool = True) -> float:
    """Wall-clock time of one run, from nothing or with everything in the cache."""
    if fresh:
        wipe(project)
    started = time.monotonic()
    subprocess.run(
        [sys.executable, *arguments],
        cwd=project.root,
        env={**project.environment, "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
    )
    return time.monotonic() - started


if __name__ == "__main__":
    main()
