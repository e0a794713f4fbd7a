"""What a kill leaves behind that other programs do not tidy up: DVC's files, Prefect's server.

`make demo` and the flow mend DVC's files before they start. DVC alone does not, and where it calls
one of them corrupted, `pose2id mend` mends them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from pathlib import Path
from typing import Any

import psutil
import yaml

from flows.process.dvc_cache import YAML_LOADER, cache_folder, cached_files
from tasks.tables.aside import put_aside
from tasks.tables.schema import Layout
from tasks.tables.seal import DamagedTableError, state_of

log = logging.getLogger("flows")
NO_GIT = "[core]\n    no_scm = true\n"


def mend_dvc_state(root: Path) -> None:
    """Puts aside what DVC could not read, and forgets locks of processes that are gone.

    A damaged dvc.lock is moved to `.cache/`: DVC's run cache then finds every stage again, and
    nothing is recomputed. Call it only while holding the project's lock of scope `run`.

    Args:
        root: The project's root folder.
    """
    _settle_git(root)
    _mend_lockfile(root / "dvc.lock", root / ".cache" / "dvc.lock.damaged")
    _mend_rwlock(root / ".dvc" / "tmp" / "rwlock")


def _settle_git(root: Path) -> None:
    """Lets DVC work in a folder that is no git repository, such as an unpacked download."""
    local = root / ".dvc" / "config.local"
    has_git = any(
        (folder / ".git").exists() for folder in (root.resolve(), *root.resolve().parents)
    )
    if has_git and local.is_file() and local.read_text(encoding="utf-8") == NO_GIT:
        local.unlink()
        log.info("this folder is a git repository now; DVC uses it")
    elif not has_git and local.parent.is_dir() and not local.exists():
        local.write_text(NO_GIT, encoding="utf-8")
        log.info("this folder is no git repository: DVC works without, but for experiments")


def put_out_aside(root: Path, error: DamagedTableError) -> None:
    """Moves a damaged table out of the way, and drops DVC's copy if that is damaged as well.

    The next run then has DVC check out its sound copy, or make the table again.

    Args:
        root: The project's root folder, of which this process holds the lock.
        error: Says which table.
    """
    path = error.path.resolve()
    if not path.is_relative_to(root.resolve() / "data"):
        return
    put_aside(error, Layout(root).cache)
    for _, copy in cached_files(root, path.relative_to(root.resolve()).as_posix()):
        if copy.is_file() and state_of(copy) != "sealed":
            copy.unlink()
            log.warning("DVC's copy of %s was damaged as well and is gone", error.path)


def forget_index(root: Path, split: str) -> None:
    """Has the next run index a split again: an image changed after it had been indexed.

    DVC hashes images after the stage that read them, so one that is replaced between the two
    would leave the old index filed under the new images, in dvc.lock and in the run cache.

    Args:
        root: The project's root folder, of which this process holds the lock.
        split: Name of the split.
    """
    layout = Layout(root)
    layout.index(split).unlink(missing_ok=True)
    for entry in (cache_folder(root) / "runs").glob("*/*/*"):
        text = entry.read_text("utf-8", "replace") if entry.is_file() else ""
        # Long commands go on in further lines, which are indented.
        if re.search(rf"^cmd:(?:.|\n )*\bindex\s+{re.escape(split)}\n\S", text, re.MULTILINE):
            entry.unlink()


def remember_servers(root: Path) -> list[psutil.Process]:
    """Notes the Prefect servers that this process has started, for `end_orphan_server`.

    Args:
        root: The project's root folder.

    Returns:
        The temporary server; nothing if a lasting one is used.
    """
    servers = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # another one may end just now
            if "prefect.server" in " ".join(child.cmdline()):
                servers.append(child)
    if servers:
        noted = [psutil.Process().pid, *([one.pid, one.create_time()] for one in servers)]
        _servers(root).write_text(json.dumps(noted), encoding="utf-8")
    return servers


def end_orphan_server(root: Path) -> None:
    """Ends the Prefect server of an earlier run in this folder that was killed."""
    path = _servers(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        parent, *servers = json.loads(path.read_text(encoding="utf-8"))
        noted = [(int(pid), float(created)) for pid, created in servers]
    except (OSError, ValueError, TypeError):
        return
    for pid, created in noted:
        with contextlib.suppress(psutil.NoSuchProcess, ValueError, OverflowError):
            server = psutil.Process(pid)
            if server.create_time() == created and server.ppid() != parent:
                server.terminate()
    path.unlink(missing_ok=True)


def _servers(root: Path) -> Path:
    return root / ".cache" / "prefect-server.json"


def _mend_lockfile(path: Path, aside: Path) -> None:
    if not path.is_file() or _is_lockfile(path):
        return
    aside.parent.mkdir(parents=True, exist_ok=True)
    path.replace(aside)
    log.warning("dvc.lock was half-written and is now %s; DVC will write it anew", aside)


def _is_lockfile(path: Path) -> bool:
    """Whether every stage in it has the entries that DVC asks for."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(yaml.load(path.read_text(encoding="utf-8"), YAML_LOADER))
    except (Invalid, yaml.YAMLError, UnicodeDecodeError):
        return False
    return True


def _mend_rwlock(path: Path) -> None:
    if not path.is_file():
        return
    try:
        held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        held = {}
        log.warning("DVC's list of locks was half-written; it is empty now")
    written = path.stat().st_mtime
    writers = {
        name: info for name, info in held.get("write", {}).items() if _is_held(info, written)
    }
    readers = {
        name: [info for info in infos if _is_held(info, written)]
        for name, infos in held.get("read", {}).items()
    }
    alive = {"write": writers, "read": {name: infos for name, infos in readers.items() if infos}}
    path.write_text(json.dumps(alive), encoding="utf-8")


def is_alive(process: psutil.Process) -> bool:
    """Whether a process still runs.

    A dead one that nobody has collected, as containers without an init process have them, does not.
    """
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _is_held(info: dict[str, Any], written: float) -> bool:
    """Whether the process that took a lock still runs; a later one of the same number is another.

    DVC takes such a one, and a dead one that nobody has collected, for the holder.
    """
    try:
        process = psutil.Process(info["pid"])
        return process.create_time() <= written and is_alive(process)
    except psutil.NoSuchProcess:
        return False
