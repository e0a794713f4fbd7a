"""Random kills of every process and each fault of a disk; then the same command again.

    python -m benchmarks.faults [--kills 100] [--faults 500] [--seed 0]
        [--ways demo,processes,flow] [--kinds "bit in cache,..."] [--minutes 60]

Each round starts from nothing. A run is killed with -9 at a random moment, at a random process of
its tree (command, DVC, stage, worker process, Prefect's server), then started again, until it
completes. Its tables, report and dvc.lock are then compared with those of an undisturbed run, byte
by byte. The project is small and its generator has random weights: what is tested is the
orchestration. `--faults` are those of `benchmarks.stage_faults`, which need no whole run each.
Exit code 1 if anything differs.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.stage_faults import FAULTS
from benchmarks.stage_faults import campaign as stage_campaign
from tests.conftest import Project
from tests.flows.conftest import eight_pictures, save_tiny_model, tiny_copy

# Way of running -> command and values of params.yaml; none changes a byte.
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "demo": ("pose2id demo", {"runtime__runner": "threads", "runtime__workers": 1}),
    "processes": ("pose2id demo", {"runtime__runner": "processes", "runtime__workers": 2}),
    "flow": ("pose2id run", {"runtime__runner": "threads", "runtime__workers": 2}),
    "part": (
        "dvc repro features@query",
        {"runtime__runner": "threads", "runtime__workers": 1},
    ),
}
WHOLE = ("demo", "processes", "flow")
KINDS = {
    "resource_tracker": "helper",
    "multiprocessing.spawn": "worker process",
    "uvicorn": "Prefect server",
    "pose2id run": "flow",
    "pose2id stage": "stage",
    "pose2id render": "stage render",
    "-m dvc": "dvc",
    "flows.orchestration.reproduction": "dvc",
    "pose2id demo": "command",
}
MAX_KILLS_PER_ROUND = 6
GONE_TIMEOUT_S = 60
# Appended to the copy's generator stage: notes every image whose pictures have been made.
OBSERVER = """
_draw_unobserved = _draw


def _draw(batch, job, *rest):
    pictures = _draw_unobserved(batch, job, *rest)
    with open(Path(job.root) / "drawn.txt", "a") as log:
        log.writelines(row["image_id"] + "\\n" for row in batch)
    return pictures
"""


@dataclass
class Tally:
    """What a campaign found."""

    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    images_made_again: int = 0
    most_made_again_per_kill: float = 0.0
    undisturbed_s: dict[str, float] = field(default_factory=dict)
    recovery_s: list[float] = field(default_factory=list)
    disks: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """The figures, one a line."""
        n_kills = sum(self.kills.values())
        lines = [
            f"rounds                     {self.rounds}",
            f"kills                      {n_kills}",
            *(f"  of {kind:<22}  {number}" for kind, number in self.kills.most_common()),
            f"differences                {len(self.differences)} {self.differences[:5]}",
            f"restarts that were refused {len(self.refusals)} {self.refusals[:2]}",
            f"images made again          {self.images_made_again}, at most "
            f"{self.most_made_again_per_kill:g} per kill in a round",
            *(f"undisturbed by {way:<12}{s:.1f} s" for way, s in self.undisturbed_s.items()),
        ]
        if self.recovery_s:
            middle, most = statistics.median(self.recovery_s), max(self.recovery_s)
            lines.append(f"last kill to completed     {middle:.1f} s median, {most:.1f} s at most")
        lines += [f"disk: {kind:<20} {found}" for kind, found in self.disks.items()]
        return "\n".join(lines)


def main() -> int:
    """Runs the campaign in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", "--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", default=",".join(WHOLE), help="comma-separated")
    parser.add_argument("--no-disks", action="store_true")
    parser.add_argument("--faults", type=int, default=0)
    parser.add_argument("--kinds", default=",".join(FAULTS), help="of faults, comma-separated")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="for the faults")
    options = parser.parse_args()
    failures: list[str] = []
    if options.faults:
        with tempfile.TemporaryDirectory() as name:
            found = stage_campaign(
                eight_pictures(Path(name)),
                faults=options.faults,
                seed=options.seed,
                kinds=options.kinds.split(","),
                seconds=60 * options.minutes,
                tell=lambda line: print(line, flush=True),
            )
        print(found, flush=True)
        failures = found.failures()
    if not options.kills:
        return 1 if failures else 0
    with tempfile.TemporaryDirectory() as name:
        tally = campaign(
            Path(name),
            kills=options.kills,
            seed=options.seed,
            ways=options.ways.split(","),
            disks=not options.no_disks,
            say=lambda line: print(line, flush=True),
        )
    print(tally)
    return 1 if tally.differences or failures else 0


def campaign(
    folder: Path,
    *,
    kills: int,
    seed: int,
    ways: list[str],
    disks: bool,
    say: Callable[[str], None],
) -> Tally:
    """Kills runs until the number is reached.

    Args:
        folder: An empty folder.
        kills: How many processes to kill at least.
        seed: Of moments and processes.
        ways: Keys of `WAYS`, taken in turn.
        disks: Whether to try faults of disks, too.
        say: Called with a line of progress.

    Returns:
        What was found.
    """
    save_tiny_model(folder / "model")
    project = tiny_copy(folder / "project", folder / "model")
    generator = project.root / "tasks" / "stages" / "generate.py"
    generator.write_text(generator.read_text(encoding="utf-8") + OBSERVER, encoding="utf-8")
    rng, tally = random.Random(seed), Tally()
    for way in ways:  # also renders the dataset, which later rounds keep
        wipe(project)
        started = time.monotonic()
        finish(project, way)
        tally.undisturbed_s[way] = time.monotonic() - started
        found = project.outs()
        if way == ways[0]:
            expected, drawn = found, Counter(drawn_in(project))
        compare(expected, found, f"undisturbed {way}", tally)
    while sum(tally.kills.values()) < kills:
        way = ways[tally.rounds % len(ways)]
        wanted = min(MAX_KILLS_PER_ROUND, kills - sum(tally.kills.values()))
        wipe(project)
        before = sum(tally.kills.values())
        torment(project, way, wanted, rng, tally)
        compare(expected, project.outs(), f"round {tally.rounds} {way}", tally)
        again = (Counter(drawn_in(project)) - drawn).total()
        n_kills = max(1, sum(tally.kills.values()) - before)
        tally.images_made_again += again
        tally.most_made_again_per_kill = max(tally.most_made_again_per_kill, again / n_kills)
        tally.rounds += 1
        say(f"round {tally.rounds} ({way}): {n_kills} kills, {len(tally.differences)} differences")
    if disks:
        for kind, fault in DISK_FAULTS.items():
            wipe(project)
            tally.disks[kind] = fault(project)
            finish(project, "demo")
            compare(expected, project.outs(), f"disk: {kind}", tally)
            say(f"disk: {kind}: {tally.disks[kind]}")
    return tally


def torment(project: Project, way: str, wanted: int, rng: random.Random, tally: Tally) -> None:
    """Kills one run after the other, then lets the last one complete."""
    last_kill = None
    for _ in range(wanted):
        run = start(project, way)
        # Most of a run's moments come early: restarts skip what is done.
        moment = rng.uniform(0.0, tally.undisturbed_s[way] * rng.choice((0.2, 0.5, 1.0)))
        if wait(run, moment):
            if run.returncode:
                tally.refusals.append(said(project))
            continue
        tree = processes_of(run.pid)
        victim = rng.choice(tree)
        kind = kind_of(victim)
        victim.kill()
        last_kill = time.monotonic()
        tally.kills[kind] += 1
        end(run, tree)
    finish(project, way, tally)
    if last_kill is not None:
        tally.recovery_s.append(time.monotonic() - last_kill)


def end(run: subprocess.Popen[bytes], tree: list[psutil.Process]) -> None:
    """Waits until a run in which a process was killed has ended; only its server may stay."""
    wait(run, 600.0)
    stages = [process for process in tree if kind_of(process) not in ("Prefect server", "gone")]
    _, alive = psutil.wait_procs(stages, timeout=GONE_TIMEOUT_S)
    # Where nobody collects orphans they stay in the table of processes, dead.
    left = [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    if left:
        raise RuntimeError(f"{left} outlive their run by {GONE_TIMEOUT_S} s")


def finish(project: Project, way: str, tally: Tally | None = None) -> None:
    """Runs to the end; once more where a restart was refused, which is counted."""
    for _ in range(3):
        run = start(project, way)
        run.wait()
        if run.returncode == 0:
            return
        if tally is None:
            break
        tally.refusals.append(said(project))
    raise RuntimeError(f"{way} does not complete:\n{said(project)}")


def start(
    project: Project, way: str, prepare: Callable[[], None] | None = None
) -> subprocess.Popen[bytes]:
    """Starts the user's command in a process group of its own.

    Before `dvc repro` comes what the documents advise after a kill: DVC may have been killed while
    it wrote dvc.lock, and does not mend it. The other commands do it themselves.
    """
    command, values = WAYS[way]
    project.set(**values)
    if command.startswith("dvc"):
        project.run("pose2id", "mend")
    # DVC takes the independent stages of a part of its graph in the order of their hashes, and
    # lists them in dvc.lock in that order; for the whole graph the order is always the same.
    environment = {**project.environment, "PYTHONHASHSEED": "0"}
    environment.pop("OMP_NUM_THREADS", None)
    with (project.root / "said.txt").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", *command.split()],
            cwd=project.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=prepare,
        )


def wait(run: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether a run ended within some seconds."""
    try:
        run.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def processes_of(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    top = psutil.Process(pid)
    return [top, *top.children(recursive=True)]


def kind_of(process: psutil.Process) -> str:
    """What a process is to the pipeline."""
    try:
        command = " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return "gone"
    for mark, kind in KINDS.items():
        if mark in command:
            return (
                f"stage {command.split('pose2id stage ')[1].split()[0]}"
                if kind == "stage"
                else kind
            )
    return "other"


def said(project: Project) -> str:
    """The last lines of what the last run printed."""
    text = (project.root / "said.txt").read_text(encoding="utf-8", errors="replace")
    return text[-600:]


def drawn_in(project: Project) -> list[str]:
    """Ids of the images whose pictures were made, once for each time."""
    path = project.root / "drawn.txt"
    return path.read_text(encoding="utf-8").split() if path.is_file() else []


def wipe(project: Project) -> None:
    """Back to a project that has its images and has never run; Prefect's database may stay."""
    keep = {project.root / "data" / name for name in ("demo", "views.sql", "corrections.csv")}
    keep |= {project.root / ".cache" / "prefect", project.root / ".cache" / "prefect-server.json"}
    gone = [*(project.root / "data").glob("*"), *(project.root / ".cache").glob("*")]
    gone += [project.root / name for name in ("reports", "dvc.lock", "drawn.txt")]
    gone += [project.root / ".dvc" / name for name in ("cache", "tmp")]
    for path in gone:
        if path in keep:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def compare(expected: dict[str, bytes], found: dict[str, bytes], where: str, tally: Tally) -> None:
    """Notes every file that differs, is missing or should not be there."""
    names = sorted(expected.keys() | found.keys())
    different = [name for name in names if expected.get(name) != found.get(name)]
    tally.differences += [f"{where}: {name}" for name in different]


def full_disk(project: Project) -> str:
    """Generated pictures on a disk that has room for a part of them."""
    return _on_small_disk(project, "size=24k")


def read_only_disk(project: Project) -> str:
    """Generated pictures on a disk that is read-only."""
    return _on_small_disk(project, "size=1m,ro")


def size_limit(project: Project) -> str:
    """No file may grow beyond 12 kB, whichever process writes it."""
    run = start(
        project, "demo", lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))
    )
    run.wait()
    return _verdict(run, project, ("File too large", "disk I/O error"))


def lost_permission(project: Project) -> str:
    """The folder of the generated pictures may not be written."""
    if os.geteuid() == 0:
        return "not tried: root is never refused"
    folder = project.root / "data" / "generated"
    folder.mkdir(parents=True)
    folder.chmod(0o500)
    run = start(project, "demo")
    run.wait()
    folder.chmod(0o700)
    return _verdict(run, project, ("Permission denied",))


DISK_FAULTS = {
    "full": full_disk,
    "read-only": read_only_disk,
    "limit on file size": size_limit,
    "lost permission": lost_permission,
}


def _on_small_disk(project: Project, options: str) -> str:
    folder = project.root / "data" / "generated"
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        return "not tried: only root may mount a small disk here"
    try:
        run = start(project, "demo")
        run.wait()
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    return _verdict(run, project, ("No space left on device", "Read-only file system"))


def _verdict(run: subprocess.Popen[bytes], project: Project, wanted: tuple[str, ...]) -> str:
    text = (project.root / "said.txt").read_text(encoding="utf-8", errors="replace")
    message = next((line for line in text.splitlines() for w in wanted if w in line), "no message")
    trace = ", with a traceback" if "Traceback" in text else ""
    return f"exit code {run.returncode}{trace}: {message}"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
