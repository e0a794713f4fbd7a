"""The first hello: an empty clone, what `make demo` installs, how long that and the demo take.

    python -m benchmarks.first_run                 the demo, then the same again with nothing to do
    python -m benchmarks.first_run --extras demo pipeline dev    what the extras install, one by one

Each figure comes from a clone of the last commit in a folder of its own. The size is that of the
virtual environment as `du` counts it. Packages come from the index that pip is set up with.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 12  # packages shown
PR_SET_CHILD_SUBREAPER = 36  # from Linux' prctl.h
SIZES = """
from importlib.metadata import distributions
for found in distributions():
    files = (found.locate_file(file) for file in found.files or ())
    print(sum(file.stat().st_size for file in files if file.is_file()), found.name)
"""


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extras", nargs="+", help="install these, run nothing")
    options = parser.parse_args()
    print(f"{'step':<32}{'seconds':>10}{'CPU s':>8}{'packages':>10}{'MB':>8}", flush=True)
    for extra in options.extras or ["demo"]:
        with tempfile.TemporaryDirectory() as name:
            clone = Path(name) / "clone"
            subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
            installed = make(clone, f".venv/{extra}.installed")
            sizes = package_sizes(clone)
            used = disk_mb(clone / ".venv")
            show(f"install .[{extra}]", installed, f"{len(sizes):>10}{used:>8.0f}")
            if not options.extras:
                show("make demo, the first", make(clone, "demo"))
                show("make demo, nothing to do", make(clone, "demo"))
            largest = sorted(sizes.items(), key=lambda item: -item[1])[:LARGEST]
            print("  largest:", ", ".join(f"{name} {size:.0f}" for name, size in largest))


def show(step: str, seconds: tuple[float, float], rest: str = "") -> None:
    """Prints a row of the table."""
    print(f"{step:<32}{seconds[0]:>10.1f}{seconds[1]:>8.1f}{rest}", flush=True)


def make(clone: Path, target: str) -> tuple[float, float]:
    """What making a target takes."""
    return timed(["make", target], clone)


def timed(
    command: list[str], folder: Path, environment: Mapping[str, str] | None = None
) -> tuple[float, float]:
    """Seconds by the clock and of processor time; the output goes to a file beside the folder.

    The time of processes that outlive the one that started them counts as well.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    log = folder.parent / "output.log"
    with log.open("a") as output:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise SystemExit(log.read_text()[-4000:])
    seconds = time.perf_counter() - began
    with suppress(ChildProcessError):
        while True:
            os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    worked = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, worked


def package_sizes(clone: Path) -> dict[str, float]:
    """Name of each installed package -> its files in MB."""
    python = clone / ".venv" / "bin" / "python"
    done = subprocess.run(
        [str(python), "-c", SIZES], capture_output=True, text=True, check=True, cwd=clone
    )
    rows = [line.split() for line in done.stdout.splitlines()]
    return {name: int(size) / 1e6 for size, name in rows}


def disk_mb(folder: Path) -> float:
    """What a folder takes on the disk, in MB."""
    blocks = sum(path.lstat().st_blocks for path in folder.rglob("*"))
    return blocks * 512 / 1e6


if __name__ == "__main__":
    main()
