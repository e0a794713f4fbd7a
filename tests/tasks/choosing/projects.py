"""Projects with a train split, and images by their features alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import yaml

from pose2id.labels import Labels
from pose2id.steps.base import FeatureSet
from tasks.choosing.evaluation import Images
from tasks.tables.params import Params, parse_params
from tasks.tables.schema import Layout
from tests.tasks.factory import Spec, write_project


def as_train(root: Path, spec: Spec, **sections: object) -> Params:
    """A project whose train split is its gallery under another name; the params file is written."""
    params = write_project(root, spec)
    layout = Layout(root)
    for path in (layout.index, layout.quality):
        shutil.copy(path("gallery"), path("train"))
    shutil.copytree(layout.features("gallery"), layout.features("train"))
    raw = params.model_dump(mode="json", by_alias=True)
    raw |= {"splits": ["train", "query", "gallery"], "tune": {"n_eta": 2, "max_k": 3}, **sections}
    (root / "params.yaml").write_text(yaml.safe_dump(raw))
    return parse_params(raw)


def images_of(features: np.ndarray, pids: np.ndarray, cameras: np.ndarray) -> Images:
    """Images by their features alone."""
    ids = [f"{number:05d}" for number in range(len(pids))]
    labels = Labels(pids=pids, camids=cameras, image_ids=ids)
    return Images(ids, FeatureSet(features.astype(np.float32), cameras), labels)


def people(n_people: int, noise: float, seed: int, dim: int = 24) -> Images:
    """Six noisy pictures, each by another camera, of every person."""
    rng = np.random.default_rng(seed)
    pids, cameras = np.repeat(np.arange(n_people), 6), np.tile(np.arange(6), n_people)
    centres = rng.normal(size=(n_people, dim))
    return images_of(centres[pids] + noise * rng.normal(size=(len(pids), dim)), pids, cameras)
