"""What DVC's cache has of the tables, now or at a revision, read without DVC's own machinery.

A revision is whatever git knows, or the name of an experiment of DVC, which is a commit below
`refs/exps/`. Nothing is checked out.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pose2id.errors import DataError

# The fast one, where libyaml is there.
YAML_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def cached_files(root: Path, below: str, revision: str | None = None) -> Iterator[tuple[str, Path]]:
    """Files of the outs that dvc.lock names, where DVC's cache has them.

    Args:
        root: The project's root folder.
        below: Path of an out, or of a file in one, relative to the root.
        revision: Whose dvc.lock; the one that lies there by default.

    Yields:
        Path relative to the root, and the file in the cache, which may be missing; sorted.

    Raises:
        DataError: There is no such revision, or it has no dvc.lock.
    """
    lock = _lock(root) if revision is None else _lock_at(root, revision)
    outs = {
        out["path"]: out["md5"]
        for stage in lock.get("stages", {}).values()
        for out in stage.get("outs", [])
        if "md5" in out and _overlap(out["path"], below)
    }
    if not outs:
        return
    folder = cache_folder(root) / "files" / "md5"
    for path, digest in sorted(outs.items()):
        place = folder / digest[:2] / digest[2:]
        if not digest.endswith(".dir"):
            yield path, place
            continue
        for name, md5 in _listing(place):
            if _overlap(f"{path}/{name}", below):
                yield f"{path}/{name}", folder / md5[:2] / md5[2:]


def locked_params(root: Path, revision: str | None = None) -> dict[str, Any]:
    """The parameters that the tables of dvc.lock were made with.

    Args:
        root: The project's root folder.
        revision: Whose dvc.lock; the one that lies there by default.

    Returns:
        Dotted key of params.yaml -> its value.

    Raises:
        DataError: There is no such revision, or it has no dvc.lock.
    """
    lock = _lock(root) if revision is None else _lock_at(root, revision)
    found: dict[str, Any] = {}
    for stage in lock.get("stages", {}).values():
        for key, value in stage.get("params", {}).get("params.yaml", {}).items():
            found |= _flat(key, value)
    return found


def cache_folder(root: Path) -> Path:
    """DVC's cache folder, which the project's configuration may have moved."""
    from dvc.config import Config

    configured = Config(str(root / ".dvc"))["cache"].get("dir")
    return Path(configured or root / ".dvc" / "cache")


def _lock(root: Path) -> dict[str, Any]:
    """The content of dvc.lock; empty where there is none, or none that can be read."""
    try:
        return _parsed((root / "dvc.lock").read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _lock_at(root: Path, revision: str) -> dict[str, Any]:
    """The content of dvc.lock at a revision.

    Raises:
        DataError: There is no such revision, or it has no dvc.lock.
    """
    commit = _git(
        root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
    )
    if commit is None:
        names = (_git(root, "for-each-ref", "--format=%(refname)", "refs/exps") or "").split()
        experiments = {name.rpartition("/")[2]: name for name in names}
        if revision not in experiments:
            known = f"; DVC has the experiments {', '.join(experiments)}" if experiments else ""
            raise DataError(
                f"{revision!r} is no revision of git and no experiment of DVC in {root.resolve()}"
                f"{known}"
            )
        commit = experiments[revision]
    text = _git(root, "show", f"{commit.strip()}:./dvc.lock")
    if text is None:
        raise DataError(f"{revision!r} has no dvc.lock: nothing was run at that revision")
    return _parsed(text)


def _git(root: Path, *arguments: str) -> str | None:
    """What git says, `None` where it cannot."""
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # a machine without git
        return None
    return done.stdout if done.returncode == 0 else None


def _parsed(text: str) -> dict[str, Any]:
    try:
        lock = yaml.load(text, YAML_LOADER)
    except yaml.YAMLError:
        return {}
    return lock if isinstance(lock, dict) else {}


def _flat(key: str, value: object) -> dict[str, Any]:
    """A value by its dotted key, or those below it.

    >>> _flat("fuse", {"eta": 8.0, "reduce": "mean"})
    {'fuse.eta': 8.0, 'fuse.reduce': 'mean'}
    """
    if not isinstance(value, dict) or not value:
        return {key: value}
    return {name: leaf for k, v in value.items() for name, leaf in _flat(f"{key}.{k}", v).items()}


def _listing(place: Path) -> list[tuple[str, str]]:
    try:
        items = json.loads(place.read_text("utf-8"))
        return sorted((item["relpath"], item["md5"]) for item in items)
    except (OSError, ValueError, LookupError, TypeError):
        return []


def _overlap(one: str, other: str) -> bool:
    a, b = Path(one).parts, Path(other).parts
    return a[: len(b)] == b[: len(a)]
