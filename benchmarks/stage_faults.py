"""Faults of files, images, limits, locks, clocks and signals, one at a time, stage by stage.

    python -m benchmarks.faults --faults 500 [--kills 0] [--seed 0] [--kinds "bit in cache,..."]

A project of eight pictures has run. Then a fault of a random kind happens to a random file at a
random place, the stage that meets it runs, and where it refuses, the same commands run again, at
most three times. Counted are, by kind:

- wrong: the tables in the end, or those of a stage that said nothing, are others than before;
- lost: a row of the tables or of the history is missing in the end;
- person: three more runs of the same commands do not complete;
- traceback: a stage ended with something else than an error written for its user.
"""

from __future__ import annotations

import fcntl
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pose2id.errors import Pose2IdError
from tasks.stages.base import STAGES
from tests.conftest import ROOT
from tests.flows.conftest import Stages, keep_as_dvc_does

SPLITS = ("query", "gallery")
CHAIN = ("index", "poses", "generate", "features", "validate", "centralize")
# Kind of kept table, and out -> the stage that makes or keeps it.
KEEPERS = {"generated": "generate", "features": "features", "neighbors": "centralize"}
MAKERS = {"index": "index", "generated": "generate", "features": "features"}
READERS = {"index": "generate", "generated": "features", "features": "centralize"}
TRIES = 3
DAY_S = 86_400


@dataclass
class Count:
    """What became of the faults of one kind."""

    n: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    person: list[str] = field(default_factory=list)
    traceback: list[str] = field(default_factory=list)
    recovery_s: list[float] = field(default_factory=list)


class Tally(dict[str, Count]):
    """Counts by kind."""

    def failures(self) -> list[str]:
        """Every fault that should not have ended as it did."""
        return [
            f"{kind}: {what}: {text}"
            for kind, count in self.items()
            for what in ("wrong", "lost", "person", "traceback")
            for text in getattr(count, what)
        ]

    def __str__(self) -> str:
        """A table, a line per kind."""
        head = ("kind", "faults", "refused", "wrong", "lost", "person", "traceback", "recovery s")
        lines = ["{:<28}{:>7}{:>9}{:>7}{:>6}{:>8}{:>11}{:>16}".format(*head)]
        for kind, count in sorted(self.items()):
            times = count.recovery_s or [0.0]
            spread = f"{statistics.median(times):.1f}, max {max(times):.1f}"
            found = [len(getattr(count, w)) for w in ("wrong", "lost", "person", "traceback")]
            row = (kind, count.n, count.refused, *found, spread)
            lines.append("{:<28}{:>7}{:>9}{:>7}{:>6}{:>8}{:>11}{:>16}".format(*row))
        lines.append(f"{sum(count.n for count in self.values())} faults")
        return "\n".join([*lines, *self.failures()])


@dataclass
class Case:
    """A project in which one fault at a time happens."""

    project: Stages
    rng: random.Random
    expected: dict[str, bytes]
    refused: bool = False

    def files(self, folder: str) -> list[Path]:
        """The tables below a folder of the project."""
        return sorted((self.project.root / folder).rglob("[!.]*.parquet"))


Fault = Callable[[Case], Iterator[tuple[str, ...]]]
"""Yields once the fault is there, with the stages to run; is resumed after their first try."""


def tables(project: Stages) -> dict[str, bytes]:
    """Bytes of all outs."""
    files = sorted((project.root / "data").rglob("[!.]*.parquet"))
    return {str(p.relative_to(project.root)): p.read_bytes() for p in files if p.is_file()}


def splits_of(stage: str) -> tuple[str, ...]:
    """What a stage is called with, one after the other."""
    return SPLITS if STAGES[stage] else ("",)


def prepare(project: Stages) -> dict[str, bytes]:
    """Runs every stage once; the tables."""
    project.set(splits=list(SPLITS), tune__split="gallery")
    for stage in CHAIN:
        for split in splits_of(stage):
            project.stage(stage, split)
    return tables(project)


def campaign(
    project: Stages,
    *,
    faults: int,
    seed: int,
    tell: Callable[[str], None],
    kinds: list[str] | None = None,
    seconds: float = float("inf"),
) -> Tally:
    """Lets faults happen, one after the other.

    Args:
        project: A project whose images are there.
        faults: How many.
        seed: Of kinds, files and places.
        tell: Called with a line of progress.
        kinds: Keys of `FAULTS`; all by default.
        seconds: Stop after so long.

    Returns:
        What became of them.
    """
    case = Case(project, random.Random(seed), prepare(project))
    tally: Tally = Tally()
    names = kinds or list(FAULTS)
    started = time.monotonic()
    for number in range(faults):
        if time.monotonic() - started > seconds:
            break
        # Every kind once, then at random, the quick ones more often.
        weights = [FAULTS[name][1] for name in names]
        kind = names[number] if number < len(names) else case.rng.choices(names, weights)[0]
        one(case, kind, tally.setdefault(kind, Count()))
        if (number + 1) % 25 == 0:
            tell(f"{number + 1} faults, {len(tally.failures())} failures")
    return tally


def one(case: Case, kind: str, count: Count) -> None:
    """Lets one fault happen and runs until the tables are whole again."""
    count.n += 1
    fault = FAULTS[kind][0](case)
    stages = next(fault)
    if not stages:  # not possible here
        count.n -= 1
        return
    started = time.monotonic()
    error = attempt(case, stages, count, kind)
    case.refused = error is not None
    if error is None and tables(case.project) != case.expected and not kind.startswith("out"):
        count.wrong.append(f"{stages} said nothing: {differences(case)}")
    next(fault, None)
    if error is not None:
        count.refused += 1
        for _ in range(TRIES):
            error = attempt(case, repair_order(stages), count, kind)
            if error is None:
                break
        else:
            count.person.append(error)
    count.recovery_s.append(time.monotonic() - started)
    found = tables(case.project)
    if missing := sorted(case.expected.keys() - found.keys()):
        count.lost.append(str(missing))
    elif found != case.expected:
        count.wrong.append(differences(case))
    if found != case.expected:  # the next fault starts from a sound project
        shutil.rmtree(case.project.root / ".cache")
        prepare(case.project)


def repair_order(stages: tuple[str, ...]) -> tuple[str, ...]:
    """What the same command runs again: every stage from the first, as DVC finds outs missing.

    But for `validate`: what it reads comes back with the same bytes, so DVC skips it.
    """
    last = max(CHAIN.index(stage) for stage in stages)
    return tuple(stage for stage in CHAIN[: last + 1] if stage != "validate")


def attempt(case: Case, stages: tuple[str, ...], count: Count, kind: str) -> str | None:
    """Runs stages over all splits; the error that ended them, if any."""
    try:
        for stage in stages:
            for split in splits_of(stage):
                case.project.stage(stage, split)
    except Pose2IdError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - what must not happen is counted, not raised
        count.traceback.append(f"{kind}: {type(error).__name__}: {str(error)[:200]}")
        return str(error)
    return None


def differences(case: Case) -> str:
    """Names of the tables that are not as they were."""
    found = tables(case.project)
    return str([n for n in case.expected if found.get(n) != case.expected[n]][:4])


def damage(path: Path, rng: random.Random, *, bits_only: bool) -> None:
    """Flips a bit of a file, or puts something else in its place."""
    content = bytearray(path.read_bytes())
    if not content:
        return
    how = "bit" if bits_only else rng.choice(("empty", "cut", "zeros", "foreign", "folder", "gap"))
    place = rng.randrange(len(content))
    if how == "bit":
        content[place] ^= 1 << rng.randrange(8)
    elif how == "gap":
        content[place : place + 64] = bytes(len(content[place : place + 64]))
    elif how == "folder":
        path.unlink()
        path.mkdir()
        return
    else:
        foreign = rng.choice((b"%PDF-1.7\n", b"PK\x03\x04", b"PAR1", b"{}\n")) * 50
        others = {"empty": b"", "cut": bytes(content[:place]), "zeros": bytes(len(content))}
        content = bytearray(others.get(how, foreign))
    path.write_bytes(content)


def in_cache(bits_only: bool) -> Fault:
    """Damage to a segment or table that is kept between runs."""

    def fault(case: Case) -> Iterator[tuple[str, ...]]:
        kind = case.rng.choice(list(KEEPERS))
        damage(case.rng.choice(case.files(f".cache/{kind}")), case.rng, bits_only=bits_only)
        yield (KEEPERS[kind],)

    return fault


def in_out(bits_only: bool) -> Fault:
    """Damage to a table between the stage that makes it and the one that reads it."""

    def fault(case: Case) -> Iterator[tuple[str, ...]]:
        kind = case.rng.choice(list(READERS))
        files = [path for path in case.files(f"data/{kind}") if "rejects" not in path.name]
        victim = case.rng.choice(files)
        whole = victim.read_bytes()
        damage(victim, case.rng, bits_only=bits_only)
        yield (READERS[kind],)
        if not case.refused:  # only the seal's name was hit; DVC would see another hash
            victim.write_bytes(whole)

    return fault


def replaced_image(case: Case) -> Iterator[tuple[str, ...]]:
    """Another picture under an image's name once it is indexed; later the old one again."""
    images = sorted(case.project.images(case.rng.choice(SPLITS)).iterdir())
    victim = case.rng.choice(images)
    original = victim.read_bytes()
    if case.rng.random() < 0.5:
        victim.write_bytes(case.rng.choice(images).read_bytes() + b"other")
    else:
        victim.unlink()
    shutil.rmtree(case.project.root / ".cache" / "features")
    yield ("features",)
    victim.write_bytes(original)


def other_lock(case: Case) -> Iterator[tuple[str, ...]]:
    """Another holder of the project's lock, which ends after a while; its file may be rubbish."""
    path = case.project.root / ".cache" / "pipeline.lock"
    path.write_bytes(case.rng.choice((b"", b"[]", b"\xff", b'{"pid": 1}', b"null")))
    file = path.open("a")
    fcntl.flock(file, fcntl.LOCK_EX)
    timer = threading.Timer(case.rng.uniform(0.1, 2.0), file.close)
    timer.start()
    yield ("generate",)
    timer.join()


def clock_jump(case: Case) -> Iterator[tuple[str, ...]]:
    """Files of the future or of 1970: the clock was wrong when they were written."""
    now = time.time() + case.rng.choice((-now_s(), 3650 * DAY_S, -3 * DAY_S, DAY_S))
    for path in case.files(".") + sorted(case.project.images("query").iterdir()):
        if case.rng.random() < 0.7:
            os.utime(path, (now, now))
    yield ("index", "generate", "features", "centralize")


def now_s() -> float:
    """The present, so that now minus it is 1970."""
    return time.time() - DAY_S


def file_limit(case: Case) -> Iterator[tuple[str, ...]]:
    """No file may grow beyond a limit (ulimit -f) while rows are made."""
    for kind in ("generated", "features"):
        shutil.rmtree(case.project.root / ".cache" / kind)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (case.rng.randrange(200, 6000), before[1]))
    yield ("generate", "features")
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def full_disk(case: Case) -> Iterator[tuple[str, ...]]:
    """The disk of the cache is full after some kilobytes."""
    folder = case.project.root / ".cache" / "generated"
    shutil.rmtree(folder)
    folder.mkdir()
    size = f"size={case.rng.choice((4, 8, 12))}k"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        yield ()
        return
    yield ("generate",)
    # Lazily: the error that was raised still holds the file that could not be written.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def poisoned_dvc_cache(case: Case) -> Iterator[tuple[str, ...]]:
    """DVC's cache and dvc.lock, from which rows are taken over, are damaged; own rows are gone."""
    root = case.project.root
    objects = keep_as_dvc_does(case.project, SPLITS)
    lock = root / "dvc.lock"
    for kind in ("generated", "features"):
        shutil.rmtree(root / ".cache" / kind)
    for _ in range(case.rng.randint(0, 4)):
        victims = [path for path in [*sorted(objects.rglob("*")), lock] if path.is_file()]
        damage(case.rng.choice(victims), case.rng, bits_only=case.rng.random() < 0.7)
    yield ("generate", "features")
    shutil.rmtree(root / ".dvc")
    lock.unlink() if lock.is_file() else shutil.rmtree(lock)


def signalled(case: Case) -> Iterator[tuple[str, ...]]:
    """A stage in a process of its own gets a signal at a random moment."""
    for kind in ("generated", "features"):
        shutil.rmtree(case.project.root / ".cache" / kind, ignore_errors=True)
    stage = case.rng.choice(("generate", "features"))
    with stage_process(case, stage) as run:
        time.sleep(case.rng.uniform(0.0, 20.0))
        for number in case.rng.choice(
            (
                (signal.SIGTERM,),
                (signal.SIGINT,),
                (signal.SIGKILL,),
                (signal.SIGHUP,),
                (signal.SIGSTOP, signal.SIGCONT),
                (signal.SIGQUIT,),
            )
        ):
            if run.poll() is None:
                run.send_signal(number)
                time.sleep(0.2)
    yield ("generate", "features")


def memory_limit(case: Case) -> Iterator[tuple[str, ...]]:
    """A stage in a process of its own may not have the memory that it asks for (ulimit -v)."""
    shutil.rmtree(case.project.root / ".cache" / "features", ignore_errors=True)
    n_bytes = case.rng.randrange(400, 4000) * 2**20
    with stage_process(
        case, "features", lambda: resource.setrlimit(resource.RLIMIT_AS, (n_bytes, n_bytes))
    ):
        pass
    yield ("generate", "features")


@contextmanager
def stage_process(
    case: Case, stage: str, prepare: Callable[[], None] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The command of a stage in a process of its own, which has ended at the end."""
    run = subprocess.Popen(
        [sys.executable, "-m", "pose2id", "stage", stage, case.rng.choice(splits_of(stage))],
        cwd=case.project.root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=prepare,
    )
    try:
        yield run
    finally:
        run.wait(600)


# Kind -> what happens, and how often it is drawn beside the others.
FAULTS: dict[str, tuple[Fault, float]] = {
    "bit in cache": (in_cache(bits_only=True), 10),
    "file in cache": (in_cache(bits_only=False), 6),
    "out: bit": (in_out(bits_only=True), 8),
    "out: file": (in_out(bits_only=False), 4),
    "replaced image": (replaced_image, 4),
    "lock of another process": (other_lock, 1),
    "clock jump": (clock_jump, 2),
    "limit on file size": (file_limit, 2),
    "full disk": (full_disk, 2),
    "poisoned DVC cache": (poisoned_dvc_cache, 3),
    "signal": (signalled, 0.2),
    "memory limit": (memory_limit, 0.2),
}
