"""The defaults in the code are those of params.yaml, and each is written once."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from typing import Any

import pytest

from pose2id.steps.camera_normalize import camera_normalize
from pose2id.steps.fuse import fuse
from pose2id.steps.kwf import kwf
from pose2id.steps.nfc import nfc
from pose2id.steps.query_expansion import query_expansion
from pose2id.steps.registry import SCORING_STEPS, STEPS
from pose2id.steps.rerank import k_reciprocal
from pose2id.steps.second_opinion import second_opinion
from pose2id.steps.whiten import whiten
from tasks.tables.params import Params, load_params, parse_params
from tests.conftest import ROOT

FUNCTIONS = {
    "fuse": fuse,
    "nfc": nfc,
    "camera_normalize": camera_normalize,
    "second_opinion": second_opinion,
    "kwf": kwf,
    "query_expansion": query_expansion,
    "whiten": whiten,
    "rerank": k_reciprocal,
}


@pytest.fixture(scope="module")
def shipped() -> Params:
    return load_params(ROOT / "params.yaml")


@pytest.mark.parametrize(
    "section", [name for name in Params.model_fields if name not in ("splits", "dataset")]
)
def test_what_params_yaml_says_is_what_a_missing_section_means(
    shipped: Params, section: str
) -> None:
    dataset = shipped.dataset.model_dump(exclude_unset=True, mode="json")
    bare = parse_params({"splits": shipped.splits, "dataset": dataset})
    assert getattr(bare, section) == getattr(shipped, section)


def test_what_params_yaml_says_of_the_dataset_is_the_default(shipped: Params) -> None:
    for name, field in type(shipped.dataset).model_fields.items():
        if not field.is_required():
            assert getattr(shipped.dataset, name) == field.default


@pytest.mark.parametrize("step", [*STEPS, *SCORING_STEPS])
def test_a_step_as_a_function_has_the_defaults_of_the_step(step: str) -> None:
    all_steps: dict[str, Any] = {**STEPS, **SCORING_STEPS}
    defaults = asdict(all_steps[step].params())
    arguments = inspect.signature(FUNCTIONS[step]).parameters
    shared = [
        name
        for name, argument in arguments.items()
        if name in defaults
        and argument.default is not inspect.Parameter.empty
        and name not in ("reference", "weights", "memory_mib")  # arrays there, words here
    ]
    assert shared
    assert {n: arguments[n].default for n in shared} == {n: defaults[n] for n in shared}
