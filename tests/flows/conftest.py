"""Small projects that run in seconds: a generator with random weights, 16x16 px pictures."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli.stage import run_stage
from tasks.stages.base import STAGES
from tests.conftest import ROOT, Project, small_project

MODEL = "models/tiny"
TINY = {
    "generate__model": MODEL,
    "poses__ids": [1, 5],
    "features__input": {"height_px": 64, "width_px": 32},
    "validate__min_pixel_std": 0.0,
    "validate__min_pose_difference": 0.0,
    "validate__max_collapsed_fraction": 1.0,
    "validate__max_feature_drift": 1e6,
    "validate__max_map_drop": 1.0,
}
FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
COUNTS = re.compile(r"(\w+)(?: \w+)? \d+/\d+: (\d+) rows, (\d+) made, (\d+) reused")


class Stages(Project):
    """A project of random pictures whose stages run in this process, without DVC."""

    def add_image(self, split: str, name: str) -> Path:
        """Writes a picture whose content is a function of split and name."""
        seed = int.from_bytes(hashlib.sha256(f"{split}/{name}".encode()).digest()[:8], "little")
        pixels = np.random.default_rng(seed).integers(0, 256, (32, 16, 3), dtype=np.uint8)
        path = self.images(split) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    def images(self, split: str) -> Path:
        """The folder of a split's pictures."""
        return self.root / "images" / FOLDERS[split]

    def stage(self, name: str, split: str = "") -> Counter[str]:
        """Runs one stage; how many rows it has, made and reused."""
        counts: Counter[str] = Counter()

        class Listener(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if match := COUNTS.match(record.getMessage()):
                    rows = map(int, match.groups()[1:])
                    counts.update(dict(zip(("rows", "made", "reused"), rows, strict=True)))

        listener, logger = Listener(), logging.getLogger("flows")
        logger.addHandler(listener)
        logger.setLevel(logging.INFO)
        try:
            run_stage(name, split, self.root / "params.yaml", self.root)
        finally:
            logger.removeHandler(listener)
        return counts

    def stages(self, *names: str) -> dict[str, Counter[str]]:
        """Runs stages over all splits."""
        return {
            name: sum(
                (self.stage(name, split) for split in (FOLDERS if STAGES[name] else ("",))),
                Counter(),
            )
            for name in names
        }


def eight_pictures(root: Path, model: Path | None = None) -> Stages:
    """Three people seen by two cameras: 2 pictures for training, 3 queries, 3 in the gallery.

    Args:
        root: An empty folder.
        model: A generator to copy; a new one without.
    """
    shutil.copy2(ROOT / "params.yaml", root)
    (root / "data").mkdir()
    shutil.copy2(ROOT / "data" / "views.sql", root / "data")
    if model is None:
        save_tiny_model(root / MODEL)
    else:
        shutil.copytree(model, root / MODEL)
    project = Stages(root)
    project.set(
        dataset__root="images",
        shards=2,
        generate__steps=1,
        score__bootstrap_resamples=100,
        centralize__fuse__eta=8.0,
        centralize__camera_normalize__use="always",
        centralize__nfc__k1=1,
        centralize__nfc__k2=1,
        score__rerank={"k1": 2, "k2": 1, "lambda_value": 0.3},
        **TINY,
    )
    for pid in (1, 2, 3):
        project.add_image("query", f"{pid:04d}_c1s1_000001_00.png")
        project.add_image("gallery", f"{pid:04d}_c2s1_000001_00.png")
    for camera in (1, 2):
        project.add_image("train", f"0009_c{camera}s1_000001_00.png")
    return project


@pytest.fixture
def stages(tmp_path: Path, tiny_model: Path) -> Stages:
    """A project of eight random pictures."""
    return eight_pictures(tmp_path, tiny_model)


def keep_as_dvc_does(project: Stages, splits: Iterable[str]) -> Path:
    """Puts pictures and features into DVC's cache and writes a dvc.lock; the folder of objects."""
    root = project.root
    objects = root / ".dvc" / "cache" / "files" / "md5"
    stages = {}

    def store(content: bytes, suffix: str = "") -> str:
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest() + suffix
        (objects / digest[:2]).mkdir(parents=True, exist_ok=True)
        (objects / digest[:2] / digest[2:]).write_bytes(content)
        return digest

    for stage, folder in (("generate", "generated"), ("features", "features")):
        for split in splits:
            out = root / "data" / folder / split
            parts = {p.relative_to(out).as_posix(): p for p in sorted(out.rglob("part-*.parquet"))}
            listing = [{"md5": store(p.read_bytes()), "relpath": name} for name, p in parts.items()]
            digest = store(json.dumps(listing).encode(), ".dir")
            outs = [{"path": f"data/{folder}/{split}", "md5": digest}]
            stages[f"{stage}@{split}"] = {"outs": outs}
    (root / "dvc.lock").write_text(json.dumps({"stages": stages}), encoding="utf-8")
    return objects


def save_tiny_model(folder: Path) -> None:
    """Random weights; the pictures are noise, which is all that orchestration needs."""
    from pose2id.generation.checkpoints import save_model
    from tests.tiny import make_tiny_model

    save_model(make_tiny_model(), folder)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_tiny_model(folder)
    return folder


def tiny_copy(folder: Path, model: Path) -> Project:
    """A small project with the tiny generator and quality gates that let noise through."""
    project = small_project(folder)
    shutil.copytree(model, project.root / MODEL)
    project.set(**TINY)
    return project


@pytest.fixture(scope="session")
def ran_project(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, worker_id: str
) -> Project:
    """A small project after `dvc repro`; tests that change it take a copy.

    Test processes share it: the first that comes makes it while the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "ran"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").is_file():
            project = tiny_copy(folder / "project", tiny_model)
            project.run("dvc", "repro")
            (folder / "complete").touch()
    return Project(folder / "project")


@pytest.fixture
def ran_copy(ran_project: Project, tmp_path: Path) -> Project:
    """A copy of a small project after `dvc repro`."""
    shutil.copytree(ran_project.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def tiny_project(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path
) -> Callable[[], Project]:
    """Makes small projects with the tiny generator, all of the same code."""
    pristine = tiny_copy(tmp_path_factory.mktemp("pristine"), tiny_model)

    def make() -> Project:
        folder = tmp_path_factory.mktemp("project")
        shutil.copytree(pristine.root, folder, symlinks=True, dirs_exist_ok=True)
        return Project(folder)

    return make
