"""Two versions of this repository on the same machine: from an empty clone to the twentieth eta.

    python -m benchmarks.before_after 9942623 HEAD
    python -m benchmarks.before_after 9942623 HEAD --rounds 5 --cores avx2

Each version gets a clone and a virtual environment of its own. `make demo` installs what the demo
needs and runs it; the seconds of its stages are those that they log. Then Prefect is added, and the
versions take turns: in each round a new value of eta by all three ways to run, and each way once
more with nothing to do. Shown are the least and the largest time by the clock. `--cores avx2` has
PyTorch and oneDNN do without AVX-512; numpy does not heed it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from benchmarks.first_run import ROOT, disk_mb, package_sizes, timed
from benchmarks.inner_loop import WAYS, run, set_eta
from benchmarks.measure import print_machine

CORES = {"all": {}, "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}}
PYTHON = Path(".venv", "bin", "python")
STAGE_DONE = re.compile(r"INFO (\w+)(?: \w+)? done in ([\d.]+) s")
Times = dict[str, list[float]]  # step -> one figure a round


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commits", nargs=2, metavar="COMMIT", help="before and after")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", choices=CORES, default="all")
    options = parser.parse_args()
    print_machine()
    environment = {**os.environ, **CORES[options.cores]}
    with tempfile.TemporaryDirectory() as name:
        clones = [Path(name) / place / "clone" for place in ("before", "after")]
        times: list[Times] = []
        for clone, commit in zip(clones, options.commits, strict=True):
            times.append(first_run(clone, commit, environment))
            print(commit, times[-1], flush=True)  # should a later step fail
        for number in range(options.rounds):
            for clone, found in zip(clones, times, strict=True):
                another_eta(clone, number, environment, found)
    print(f"{'':<32}" + "".join(f"{commit:>16}" for commit in options.commits) + f"{'ratio':>8}")
    before, after = times
    for step in before:
        shown = "".join(f"{spread(found.get(step, [])):>16}" for found in times)
        least = min(after.get(step, [0.0]))
        print(f"{step:<32}{shown}" + (f"{min(before[step]) / least:>7.2f}x" if least else ""))


def first_run(clone: Path, commit: str, environment: Mapping[str, str]) -> Times:
    """An empty clone, what the demo needs, the demo, and the demo with nothing to do."""
    clone.parent.mkdir()
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    subprocess.run(["git", "checkout", "-q", commit], cwd=clone, check=True)
    found: Times = {}
    found["installation"] = [timed(["make", ".venv/demo.installed"], clone, environment)[0]]
    found["packages"] = [len(package_sizes(clone))]
    found["MB"] = [disk_mb(clone / ".venv")]
    found["make demo, the first"] = [timed(["make", "demo"], clone, environment)[0]]
    stages: dict[str, float] = defaultdict(float)
    for stage, seconds in STAGE_DONE.findall((clone.parent / "output.log").read_text()):
        stages[f"  stage {stage}, all splits"] += float(seconds)
    found.update({stage: [seconds] for stage, seconds in stages.items()})
    found["make demo, nothing to do"] = [timed(["make", "demo"], clone, environment)[0]]
    timed(["make", ".venv/pipeline.installed"], clone, environment)
    for way in WAYS:  # Prefect makes its database, Python compiles
        run(clone, *way, python=clone / PYTHON, environment=environment)
    return found


def another_eta(clone: Path, number: int, environment: Mapping[str, str], found: Times) -> None:
    """Every way to run, after a changed eta and with nothing to do."""
    for place, way in enumerate(WAYS):
        # Values that give nearly the same results: an older gate refuses others.
        set_eta(clone, 8 + (number * len(WAYS) + place + 1) / 64)
        for step in ("another eta", "nothing to do"):
            seconds, _ = run(clone, *way, python=clone / PYTHON, environment=environment)
            found.setdefault(f"{' '.join(way)}, {step}", []).append(seconds)


def spread(figures: list[float]) -> str:
    """The least and the largest figure."""
    if not figures:
        return "-"
    low, high = (f"{bound:.1f}".removesuffix(".0") for bound in (min(figures), max(figures)))
    return low if low == high else f"{low} to {high}"


if __name__ == "__main__":
    main()
