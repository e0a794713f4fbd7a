"""A changed parameter of `centralize`: how long until there is a new table of results.

    python -m benchmarks.inner_loop             the demo, by all three ways, and nothing to do
    python -m benchmarks.inner_loop --market    stages on invented features of Market-1501's size

The demo's figures come from a clone of the last commit with a copy of this checkout's tables, which
`make demo` has made; what its virtual environment lacks in compiled files is compiled before. The
other ones are of stages as `dvc repro` calls them: 3,368 queries, 15,913 gallery images, 768
dimensions, eight drawings each, features present.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml

from benchmarks.first_run import ROOT, show, timed
from tasks.reporting.provenance import params_yaml
from tests.tasks.factory import Spec, write_project

MADE = (".cache", "data", "reports", "dvc.lock", ".dvc/cache")  # by `make demo`
WAYS = (("dvc", "repro"), ("pose2id", "run"), ("pose2id", "demo"))
MARKET = Spec(
    identities=842,
    queries_per_identity=4,
    gallery_per_identity=15,
    distractors=3283,
    cameras=6,
    dim=768,
    noise=3.0,
    width_px=64,
)
VARIANTS = {
    "base": [],
    "base_rerank": ["rerank"],
    "nfc": ["nfc"],
    "ipg": ["fuse"],
    "ipg_nfc": ["fuse", "nfc"],
    "ipg_nfc_rerank": ["fuse", "nfc", "rerank"],
}


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--market", action="store_true", help="invented features, large")
    parser.add_argument("--repeats", type=int, default=3, help="of each way on the demo")
    options = parser.parse_args()
    print(f"{'step':<32}{'seconds':>10}{'CPU s':>8}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        if options.market:
            market(Path(name) / "project")
        else:
            demo(Path(name) / "clone", options.repeats)


def demo(clone: Path, repeats: int) -> None:
    """Every way after a changed eta, and with nothing to do."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    for made in MADE:
        if not (ROOT / made).exists():
            sys.exit(f"there is no {made} here; run make demo first")
        copy = shutil.copytree if (ROOT / made).is_dir() else shutil.copy2
        options = {"dirs_exist_ok": True} if (ROOT / made).is_dir() else {}
        copy(ROOT / made, clone / made, **options)
    (clone / ".venv").symlink_to(Path(sys.prefix))
    for way in WAYS:  # DVC hashes the copies, Prefect makes its database, Python compiles
        run(clone, *way)
    for number in range(repeats):
        for place, way in enumerate(WAYS):
            set_eta(clone, 1 + 0.125 * (len(WAYS) * number + place))
            show(f"{' '.join(way)}, changed eta", run(clone, *way))
            show(f"{' '.join(way)}, nothing to do", run(clone, *way))


def market(project: Path) -> None:
    """The stages one by one, after a changed eta."""
    project.mkdir()
    params = write_project(project, MARKET, variants=VARIANTS, report={}, shards=8)
    (project / "params.yaml").write_text(params_yaml(params), encoding="utf-8")
    run(project, "pose2id", "stage", "centralize")  # the last run, whose neighbours are kept
    set_eta(project, 1.5)
    spent = [0.0, 0.0]
    for stage in ("centralize", "score", "report"):
        seconds, cpu = run(project, "pose2id", "stage", stage)
        spent = [spent[0] + seconds, spent[1] + cpu]
        show(f"pose2id stage {stage}", (seconds, cpu))
    show("together", (spent[0], spent[1]))


def set_eta(project: Path, eta: float) -> None:
    """Changes `centralize.fuse.eta`."""
    path = project / "params.yaml"
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    raw["centralize"]["fuse"]["eta"] = eta
    path.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")


def run(
    project: Path,
    *command: str,
    python: Path = Path(sys.executable),
    environment: Mapping[str, str] = os.environ,
) -> tuple[float, float]:
    """Seconds by the clock and of processor time of a command of an environment of Python."""
    path = f"{python.parent}{os.pathsep}{environment['PATH']}"
    code = project if (project / "flows").is_dir() else ROOT
    variables = {**environment, "PATH": path, "PYTHONPATH": str(code)}
    return timed([str(python), "-m", *command], project, variables)


if __name__ == "__main__":
    main()
