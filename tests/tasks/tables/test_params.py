"""Parameters: what is accepted, and that an error names key, value and what is allowed."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from pose2id.errors import ParamsError
from pose2id.steps.base import ScoringStep, Step
from pose2id.steps.registry import SCORING_STEPS, STEPS
from tasks.tables.params import Params, load_params, parse_params

NAN, INF = float("nan"), float("inf")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def shipped() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def change(raw: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    changed = copy.deepcopy(raw)
    *sections, name = key.split(".")
    target = changed
    for section in sections:
        target = target[section]
    target[name] = value
    return changed


def test_shipped_params_are_valid() -> None:
    assert load_params(ROOT / "params.yaml").splits == ("train", "query", "gallery")


def test_params_are_frozen_and_hashable(shipped: dict[str, Any]) -> None:
    params = parse_params(shipped)
    assert hash(params.generate) == hash(parse_params(shipped).generate)
    with pytest.raises(ValueError, match="frozen"):
        params.generate.steps = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("generate.stepz", 8, ["generate.stepz", "unknown parameter", "8"]),
        ("generate.steps", 0, ["generate.steps", "0", "greater than or equal to 1"]),
        ("generate.noise", "often", ["generate.noise", "'often'", "per_pose", "per_image"]),
        ("features.extractor", "resnet", ["features.extractor", "'resnet'", "onnx"]),
        ("features.second", "onnx", ["features.second", "'onnx'", "ipg_identity"]),
        ("features.second", "precomputed", ["features.second", "ipg_identity"]),
        ("variants.two", ["second_opinion"], ["features.second is none", "ipg_identity"]),
        ("centralize.nfc.k1", -1, ["centralize.nfc.k1", "-1"]),
        ("shards", 6, ["shards", "6", "power of two"]),
        ("splits", ["query", "query"], ["splits", "twice"]),
        ("score.gallery", "nowhere", ["score.gallery", "nowhere"]),
        ("dataset.name", "../up", ["dataset.name", "../up"]),
        ("runtime.workers", "many", ["runtime.workers", "'many'"]),
        ("generate.stepz", 8, ["generate.stepz", "did you mean 'steps'?"]),
        ("score.rerank.k3", 8, ["score.rerank.k3", "known here: k1, k2, lambda_value"]),
        ("runtime.wrokers", 8, ["did you mean 'workers'?"]),
        ("featurez", {}, ["featurez", "did you mean 'features'?"]),
        ("xyz", [["a" * 1000] * 1000] * 1000, ["xyz", "known here: variants, splits, shards"]),
        ("generate.steps", True, ["generate.steps", "true and false are not allowed"]),
        ("splits", "2020-01-01", ["splits"]),
        ("features.input", {"height_px": 8, "width_px": 8, "std": [0, 1, 1]}, ["input.std.0", "0"]),
        ("features.input", {"height_px": 8, "width_px": 8, "std": [NAN, 1, 1]}, ["std", "finite"]),
        ("features.input", {"height_px": 8, "width_px": 8, "mean": [0, INF, 1]}, ["mean.1"]),
        ("features.input", {"height_px": 10**6, "width_px": 8}, ["height_px", "1000000", "8192"]),
        ("features.dim", 10**9, ["features.dim", "65536"]),
        ("centralize.nfc.k1", 1e21, ["centralize.nfc.k1", "far beyond"]),
        ("centralize.nfc.k2", 10**400, ["centralize.nfc.k2", "1 to 1000"]),
        ("centralize.nfc.memory_mib", 10**12, ["memory_mib"]),
        ("centralize.fuse.eta", INF, ["centralize.fuse.eta", "inf"]),
        ("centralize.fuse.eta", 1e300, ["centralize.fuse.eta", "0 to 1000"]),
        ("tune.eta", [0.1, 1e300], ["tune.eta.1", "1000"]),
        ("score.rerank.k1", 10**21, ["score.rerank.k1", "1 to 1000"]),
        ("score.rerank.lambda_value", NAN, ["score.rerank.lambda_value", "nan"]),
        ("score.bootstrap_resamples", 10**12, ["bootstrap_resamples", "1000000"]),
        ("score.seed", 10**30, ["score.seed"]),
        ("report.map_points", 10**12, ["report.map_points"]),
        ("score.gallery", "query", ["score.query and score.gallery are both 'query'"]),
        ("tune.n_eta", 10**12, ["tune.n_eta"]),
        ("tune.steps", ["rerank"], ["tune.steps", "camera_normalize"]),
        ("tune.max_k", 10**12, ["tune.max_k"]),
        ("poses.ids", [1, 1], ["poses.ids", "twice"]),
        ("poses.ids", [-1], ["poses.ids.0"]),
        ("poses.ids", [10**6], ["poses.ids.0"]),
        ("index.max_pixels", 10**30, ["index.max_pixels"]),
        ("dataset.root", "~/market", ["dataset.root", "write it out", "/market"]),
        ("dataset.root", "", ["dataset.root", "path"]),
        ("generate.model", "models/\x00", ["generate.model", "printable"]),
        ("dataset.distractor_pids", [10**30], ["distractor_pids"]),
        ("validate.max_feature_drift", INF, ["max_feature_drift"]),
    ],
)
def test_a_wrong_value_is_named(
    shipped: dict[str, Any], key: str, value: object, words: list[str]
) -> None:
    with pytest.raises(ParamsError) as error:
        parse_params(change(shipped, key, value))
    for word in words:
        assert word in str(error.value)


def test_all_errors_are_listed_at_once(shipped: dict[str, Any]) -> None:
    raw = change(change(shipped, "generate.steps", 0), "features.batch_size", 0)
    with pytest.raises(ParamsError, match="2 error"):
        parse_params(raw)


def test_a_retracted_dataset_is_refused_until_the_user_insists(shipped: dict[str, Any]) -> None:
    raw = change(shipped, "dataset.name", "dukemtmc-reid")
    with pytest.raises(ParamsError, match="allow_retracted"):
        parse_params(raw)
    insisted = parse_params(change(raw, "dataset.allow_retracted", True))
    assert insisted.dataset.name == "dukemtmc-reid"


def test_an_exported_network_needs_an_input_declaration(shipped: dict[str, Any]) -> None:
    with pytest.raises(ParamsError, match=r"features\.input"):
        parse_params(change(shipped, "features.extractor", "onnx"))


def test_half_precision_goes_with_ipg(shipped: dict[str, Any]) -> None:
    half = change(shipped, "generate.precision", "bfloat16")
    assert parse_params(half).generate.precision == "bfloat16"
    with pytest.raises(ParamsError, match=r"goes with generate\.generator 'ipg'"):
        parse_params(change(half, "generate.generator", "controlnet"))


def test_numbers_have_bounds_everywhere() -> None:
    """Nobody can ask for a million of something or for infinity by accident."""

    def sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
        yield model
        for field in model.model_fields.values():
            for kind in (field.annotation, *get_args(field.annotation)):
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    yield from sections(kind)

    unbounded = []
    for section in sections(Params):
        assert section.model_config["allow_inf_nan"] is False
        properties = section.model_json_schema()["properties"]
        for name, schema in properties.items():
            for part in _parts(schema):
                ends = part.keys() & {"maximum", "exclusiveMaximum"}
                if part.get("type") in ("integer", "number") and not ends:
                    unbounded.append(f"{section.__name__}.{name}")
    assert unbounded == ["Params.shards"]  # checked by hand: a power of two up to 4096


@pytest.mark.parametrize("step", [*STEPS.values(), *SCORING_STEPS.values()], ids=lambda s: s.name)
def test_numbers_of_steps_have_bounds(step: Step[Any] | ScoringStep[Any]) -> None:
    for field in dataclasses.fields(step.params):
        if isinstance(getattr(step.params(), field.name), float | int):
            for value in (10**400, -1, NAN, INF):
                with pytest.raises(ParamsError, match=field.name):
                    step.params(**{field.name: value})


def _parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for key in ("anyOf", "prefixItems"):
        for part in schema.get(key, []):
            yield from _parts(part)
    if isinstance(schema.get("items"), dict):
        yield from _parts(schema["items"])


def lines(*pairs: str) -> bytes:
    return "\n".join(pairs).encode()


BOMB = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lines("shards: 8", "dataset: {}", "shards: 4"), ["'shards'", "twice", "line 1", "line 3"]),
        (lines("tune:", "  seed: 1", "  seed: 2"), ["'seed'", "twice", "line 2", "line 3"]),
        (lines("tune: {seed: 1, seed: 2}"), ["'seed'", "twice"]),
        (lines("index: {}", "tune: {}", "index: {}"), ["'index'", "line 3"]),
        ("licence: für".encode("latin-1"), ["not UTF-8", "0xfc", "line 1"]),
        ("shards: 8".encode("utf-16"), ["not UTF-8", "UTF-16"]),
        (b"seed: " + b"9" * 5000, ["line 1", "4300 digits"]),
        (b"a: " + b"[" * 3000, ["nests", "deeply"]),
        (b"a: " + b"{a: " * 3000, ["nests", "deeply"]),
        (b"seed: 2020-13-41", ["line 1", "month"]),
        (lines(*BOMB), ["aliases", "100000"]),
        (b"a: &a [*a]", ["contains itself"]),
        (b"a: *nothing", ["undefined alias"]),
        (b"a: !!python/object/apply:os.system [ls]", ["python/object"]),
        (b"a: \x00", ["not valid YAML"]),
        (b"a: 1\n---\na: 2", ["another document"]),
        (b"1: 2", ["sections by words"]),
        (b"? [a]\n: 1", ["unhashable"]),
        (b"#" * 2_000_000, ["larger than"]),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_wrong_with_the_file_is_said_with_its_line(
    tmp_path: Path, content: bytes, words: list[str]
) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ParamsError, match=r"params\.yaml") as error:
        load_params(path)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert len(str(error.value)) < 500


def test_a_folder_is_no_params_file(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="is a folder"):
        load_params(tmp_path)


def test_a_byte_order_mark_and_aliases_do_no_harm(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    text = text.replace("seed: 12580", "seed: &seed 12580")
    text = "seed: *seed".join(text.rsplit("seed: 0", 1))
    path = tmp_path / "params.yaml"
    path.write_text("\ufeff" + text, encoding="utf-8")
    assert load_params(path).generate.seed == 12580


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", ""])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError, match=r"params\.yaml"):
        load_params(path)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="--params"):
        load_params(tmp_path / "params.yaml")
