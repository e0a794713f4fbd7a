"""Rows of the tables that dvc.lock names are taken over, whichever machine made them.

DVC deletes the outs of a stage before it runs, and the row cache is this machine's own. So after
`dvc pull` a stage that runs for one new image would make everything again. The tables are in DVC's
cache, from where the stage takes what its row cache lacks. Every table is taken over once, and
never one that was made here: rows that were dropped on purpose do not come back.
"""

from __future__ import annotations

import logging
from pathlib import Path

from flows.process.dvc_cache import cached_files
from tasks.stages.base import Job, load_stage
from tasks.tables.row_cache import RowCache
from tasks.tables.seal import seal_of
from tasks.tables.store import shard_prefix

log = logging.getLogger("flows")

CACHING_STAGES = ("generate", "features")
FOLDERS = {"generate": "generated", "features": "features"}
KNOWN = "known-tables.txt"


def bring_last_rows(root: Path, job: Job) -> int:
    """Makes the rows of a split's last table findable for the stage that makes its next one.

    Args:
        root: The project's root folder.
        job: Any job of the stage.

    Returns:
        How many rows the row cache lacked.
    """
    if job.stage not in CACHING_STAGES:
        return 0
    parts = _parts(root, f"data/{FOLDERS[job.stage]}/{job.split}")
    cache: RowCache = load_stage(job.stage).row_cache(job)  # type: ignore[attr-defined]
    known, n_brought = _known(cache), 0
    for number, part in enumerate(parts):
        seal = seal_of(part) if part.is_file() else None
        if seal is None or seal in known:
            continue
        shard = RowCache(cache.root, shard_prefix(number, len(parts)), cache.made_on)
        n_brought += shard.bring(part, seal)
        _note(cache, [seal])
    if n_brought:
        log.info("%s %s: %d rows brought from dvc.lock's table", job.stage, job.split, n_brought)
    return n_brought


def note_tables(root: Path, job: Job) -> None:
    """Notes the tables that a stage has just made here.

    Args:
        root: The project's root folder.
        job: Any job of the stage.
    """
    if job.stage not in CACHING_STAGES:
        return
    cache: RowCache = load_stage(job.stage).row_cache(job)  # type: ignore[attr-defined]
    folder = root / "data" / FOLDERS[job.stage] / job.split
    seals = [seal for part in sorted(folder.glob("[!.]*.parquet")) if (seal := seal_of(part))]
    _note(cache, [seal for seal in seals if seal not in _known(cache)])


def _known(cache: RowCache) -> set[str]:
    path = cache.root / KNOWN
    return set(path.read_text("utf-8", "replace").split()) if path.is_file() else set()


def _note(cache: RowCache, seals: list[str]) -> None:
    cache.root.mkdir(parents=True, exist_ok=True)
    with (cache.root / KNOWN).open("a", encoding="utf-8") as file:
        file.write("".join(f"{seal}\n" for seal in seals))


def _parts(root: Path, out: str) -> list[Path]:
    """Where DVC's cache has the parts of an out that dvc.lock names, by number."""
    found = {path: file for path, file in cached_files(root, out) if Path(path).parent == Path(out)}
    names = [f"{out}/part-{number:04d}.parquet" for number in range(len(found))]
    return list(found.values()) if list(found) == names else []
