"""Parameters: what is accepted, and that an error names key, value and what is allowed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from pose2id.errors import ParamsError
from tasks.tables.params import load_params, parse_params

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
        ("centralize.nfc.k1", -1, ["centralize.nfc.k1", "-1"]),
        ("shards", 6, ["shards", "6", "power of two"]),
        ("splits", ["query", "query"], ["splits", "twice"]),
        ("score.gallery", "nowhere", ["score.gallery", "nowhere"]),
        ("dataset.name", "../up", ["dataset.name", "../up"]),
        ("runtime.workers", "many", ["runtime.workers", "'many'"]),
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


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", ""])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError, match=r"params\.yaml"):
        load_params(path)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="--params"):
        load_params(tmp_path / "params.yaml")
