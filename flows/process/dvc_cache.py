"""What DVC's cache has of this project's tables, read without DVC's own machinery."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

# The fast one, where libyaml is there.
YAML_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def cached_files(root: Path, below: str) -> Iterator[tuple[str, Path]]:
    """Files of the outs that dvc.lock names, where DVC's cache has them.

    Args:
        root: The project's root folder.
        below: Path of an out, or of a file in one, relative to the root.

    Yields:
        Path relative to the root, and the file in the cache, which may be missing; sorted.
    """
    outs = {
        out["path"]: out["md5"]
        for stage in _lock(root).get("stages", {}).values()
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


def cache_folder(root: Path) -> Path:
    """DVC's cache folder, which the project's configuration may have moved."""
    from dvc.config import Config

    configured = Config(str(root / ".dvc"))["cache"].get("dir")
    return Path(configured or root / ".dvc" / "cache")


def _lock(root: Path) -> dict[str, Any]:
    """The content of dvc.lock; empty where there is none, or none that can be read."""
    try:
        lock = yaml.load((root / "dvc.lock").read_text("utf-8"), YAML_LOADER)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return lock if isinstance(lock, dict) else {}


def _listing(place: Path) -> list[tuple[str, str]]:
    try:
        items = json.loads(place.read_text("utf-8"))
        return sorted((item["relpath"], item["md5"]) for item in items)
    except (OSError, ValueError, LookupError, TypeError):
        return []


def _overlap(one: str, other: str) -> bool:
    a, b = Path(one).parts, Path(other).parts
    return a[: len(b)] == b[: len(a)]
