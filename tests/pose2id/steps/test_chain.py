"""Chains: checked by name, run once for what they share, and open to a step of one's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from pose2id.errors import ParamsError
from pose2id.features import l2_normalize
from pose2id.steps.base import FORBID_UNKNOWN, FeatureSet, Step
from pose2id.steps.chain import ChainRunner, check_chain, describe, feature_chain
from pose2id.steps.fuse import fuse
from pose2id.steps.nfc import nfc
from pose2id.steps.registry import SCORING_STEPS, STEPS
from tasks.tables.params import parse_params
from tests.tasks.factory import params_of


def sets(seed: int = 0) -> dict[str, FeatureSet]:
    rng = np.random.default_rng(seed)

    def one(n: int) -> FeatureSet:
        rows = rng.standard_normal((n, 8)).astype(np.float32)
        drawings = rows[:, None] + rng.standard_normal((n, 3, 8)).astype(np.float32)
        weights = (rng.random((n, 3)) > 0.2).astype(np.float32)
        second = rng.standard_normal((n, 5)).astype(np.float32)
        return FeatureSet(rows, rng.integers(-1, 3, n), drawings, weights, second=second)

    return {"query": one(9), "gallery": one(20), "train": one(15)}


def runner(found: dict[str, FeatureSet], **params: object) -> ChainRunner:
    return ChainRunner(found.__getitem__, params, {"gallery": "gallery", "train": "train"})


def test_a_chain_is_its_functions_one_after_the_other():
    found = sets()
    query = found["query"]
    fused = fuse(query.features, query.drawings, weights=query.drawing_weights)
    run = runner(found)
    assert np.array_equal(run.run("query", ()).features, l2_normalize(query.features))
    assert np.array_equal(run.run("query", ("fuse",)).features, fused)
    assert np.array_equal(run.run("query", ("fuse", "nfc", "rerank")).features, nfc(fused))


def test_what_chains_begin_with_is_done_once(monkeypatch):
    calls = []
    slow = STEPS["fuse"]

    def apply(*args):
        calls.append(1)
        return slow.apply(*args)

    monkeypatch.setitem(STEPS, "fuse", Step("fuse", "", "", slow.params, apply))
    run = runner(sets())
    run.run("query", ("fuse",))
    run.run("query", ("fuse", "nfc"))
    assert len(calls) == 1


@pytest.mark.parametrize("step", STEPS)
def test_every_step_gives_finite_unit_rows_and_keeps_its_input(step):
    found = sets()
    before = found["query"].features.copy()
    for split in found:
        rows = runner(found).run(split, (step,)).features
        assert rows.dtype == np.float32
        assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert np.array_equal(found["query"].features, before)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_step_does_what_it_can_with_few_images(step, n):
    found = {name: rows.take(np.arange(n)) for name, rows in sets().items()}
    result = runner(found).run("gallery", (step,))
    assert np.isfinite(result.features).all()


def test_a_neighbourhood_larger_than_the_set_is_noted():
    found = {name: rows.take(np.arange(3)) for name, rows in sets().items()}
    result = runner(found, nfc=STEPS["nfc"].params(k1=7)).run("query", ("nfc",))
    assert result.notes == ("nfc: k1 7 lowered to 2, as each image has only 2 other(s)",)


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        (["blur"], "unknown step 'blur'; the steps are fuse, nfc"),
        (["rerank", "nfc"], "before its"),
        (["second_opinion", "fuse"], "second_opinion before fuse"),
    ],
)
def test_a_wrong_chain_is_refused(chain, message):
    with pytest.raises(ParamsError, match=message):
        check_chain("mine", chain)


def test_a_reference_that_the_project_lacks_is_refused():
    only = {"query": sets()["query"]}
    lonely = ChainRunner(only.__getitem__, {}, {})
    with pytest.raises(ParamsError, match=r"kwf.reference is 'gallery', but .* it has own"):
        lonely.run("query", ("kwf",))


def test_every_step_describes_itself_and_has_defaults():
    for step in [*STEPS.values(), *SCORING_STEPS.values()]:
        assert describe([step.name])
        assert step.source
        step.params()


@dataclass(frozen=True)
class FlipParams:
    """Parameters of a step that a user writes."""

    times: int = 1
    __pydantic_config__ = FORBID_UNKNOWN


def test_a_step_of_ones_own_is_one_file_and_one_line(monkeypatch):
    def flip(features: FeatureSet, params: FlipParams, around: object) -> FeatureSet:
        return features.with_features(features.features * (-1) ** params.times)

    own = Step("flip", "flipped", "a user", FlipParams, flip, transductive=False)
    monkeypatch.setitem(STEPS, own.name, own)  # the one line
    found = sets()
    rows = runner(found).run("query", ("flip", "nfc")).features
    assert np.array_equal(rows, nfc(-found["query"].features))
    assert feature_chain(("flip", "rerank")) == ("flip",)


def test_variants_of_params_are_chains():
    params = params_of(variants={"base": [], "all": ["fuse", "nfc", "rerank"], "n": ["nfc"]})
    assert params.feature_variants() == {"base": (), "all": ("fuse", "nfc"), "n": ("nfc",)}
    assert params.default_variant == "n"
    assert params.features_of("all") == "all"


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({"nfc": ["nfc"]}, r"must have `base: \[\]`"),
        ({"base": ["nfc"]}, r"must have `base: \[\]`"),
        ({"base": [], "a": ["nfc"], "b": ["nfc"]}, "'b' has the same steps as 'a'"),
        ({"base": [], "a": ["nfk"]}, "unknown step 'nfk'"),
        ({"base": [], "../a": ["nfc"]}, "../a"),
    ],
)
def test_wrong_variants_are_refused(variants, message):
    with pytest.raises(ParamsError, match=message):
        params_of(variants=variants)


def test_every_allowed_value_of_a_step_is_accepted_and_others_are_not():
    for key, allowed in {
        "nfc.search": ("exact", "hnsw", "ivf"),
        "fuse.reduce": ("mean", "sum", "max", "concat"),
        "kwf.weights": ("uniform", "inverse_distance", "exponential"),
        "camera_normalize.reference": ("own", "gallery"),
    }.items():
        step, name = key.split(".")
        for value in allowed:
            params_of(centralize={step: {name: value}})
        with pytest.raises(ParamsError, match=f"centralize.{key}"):
            params_of(centralize={step: {name: "other"}})
    with pytest.raises(ParamsError, match=r"centralize.nfc.k3: unknown"):
        params_of(centralize={"nfc": {"k3": 1}})
    raw = params_of().model_dump(mode="json", by_alias=True)
    assert parse_params(raw) == params_of()
