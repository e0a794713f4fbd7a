"""Every word that a parameter may be is known to what it is handed to."""

from __future__ import annotations

import io
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image

from pose2id import choices
from pose2id.datasets.names import ReaderName
from pose2id.datasets.registry import READERS
from pose2id.devices import resolve_device, resolve_dtype
from pose2id.errors import ParamsError
from pose2id.extractors.families import FAMILIES
from pose2id.generation.sampler import make_scheduler
from pose2id.neighbors import nearest_neighbors
from pose2id.protocols import PROTOCOLS
from pose2id.steps.fuse import fuse
from pose2id.steps.kwf import kwf
from pose2id.steps.rerank import k_reciprocal
from tasks.stages.generate import encode
from tests.tasks.factory import params_of

ROWS = np.random.default_rng(0).normal(size=(300, 8))


def accepted(section: str, key: str, value: str, **more: Any) -> None:
    params_of(**{section: {key: value, **more}})


@pytest.mark.parametrize("solver", get_args(choices.Solver))
def test_solvers(solver: choices.Solver) -> None:
    assert make_scheduler(solver) is not None
    accepted("generate", "solver", solver)


@pytest.mark.parametrize("precision", get_args(choices.Precision))
def test_precisions(precision: choices.Precision) -> None:
    assert isinstance(resolve_dtype(precision), torch.dtype)
    accepted("generate", "precision", precision)


@pytest.mark.parametrize("device", get_args(choices.Device))
def test_devices(device: choices.Device) -> None:
    accepted("runtime", "device", device)
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if there.get(device, True):
        assert isinstance(resolve_device(device), torch.device)
    else:
        with pytest.raises(ParamsError, match="this machine lacks"):
            resolve_device(device)


@pytest.mark.parametrize("search", get_args(choices.Search))
def test_searches(search: choices.Search) -> None:
    if search != "exact":
        pytest.importorskip("faiss")
    assert nearest_neighbors(ROWS, 2, method=search).k == 2


@pytest.mark.parametrize("picture_format", get_args(choices.PictureFormat))
def test_picture_formats(picture_format: choices.PictureFormat) -> None:
    data = encode(np.zeros((8, 4, 3), np.uint8), picture_format)
    with Image.open(io.BytesIO(data)) as picture:
        assert (picture.format or "").lower() == picture_format
    accepted("generate", "format", picture_format)


@pytest.mark.parametrize("reduce", get_args(choices.Reduce))
def test_reductions(reduce: choices.Reduce) -> None:
    assert len(fuse(ROWS, np.stack([ROWS, ROWS], axis=1), reduce=reduce)) == len(ROWS)


@pytest.mark.parametrize("weights", get_args(choices.NeighborWeights))
def test_neighbor_weights(weights: choices.NeighborWeights) -> None:
    assert len(kwf(ROWS, weights=weights)) == len(ROWS)


@pytest.mark.parametrize("precision", get_args(choices.RerankPrecision))
def test_precisions_of_reranking(precision: choices.RerankPrecision) -> None:
    assert k_reciprocal(ROWS[:9], ROWS[9:], precision=precision).shape == (9, 291)


def test_registries_hold_exactly_the_words() -> None:
    assert set(PROTOCOLS) == set(get_args(choices.Protocol))
    assert set(READERS) == set(get_args(ReaderName))
    for name, family in FAMILIES.items():
        if not family.needs_input:
            accepted("features", "extractor", name)


@pytest.mark.parametrize(
    ("section", "key", "words"),
    [
        ("generate", "generator", choices.GeneratorName),
        ("generate", "noise", choices.Noise),
        ("poses", "source", choices.PoseSource),
        ("runtime", "runner", choices.Runner),
        ("validate", "duplicates", choices.Severity),
        ("validate", "map_drop", choices.Consequence),
    ],
)
def test_sections_take_each_word_and_name_them_all_for_another(
    section: str, key: str, words: Any
) -> None:
    for word in get_args(words):
        more = {"file": "poses.parquet"} if word == "file" else {}
        if word == "dataset":
            more = {"split": "query"}
        accepted(section, key, word, **more)
    with pytest.raises(ParamsError) as error:
        accepted(section, key, "other")
    assert all(repr(word) in str(error.value) for word in get_args(words))
