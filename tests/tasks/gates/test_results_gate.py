"""The gate of the results: impossible values, and falls since the last good run of the kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pose2id.errors import QualityError
from tasks.gates.results import gate_results
from tasks.tables import schema
from tasks.tables.params import Params
from tasks.tables.schema import Layout
from tasks.tables.store import read_table, write_table
from tests.tasks.factory import params_of


def gate(root: Path, params: Params | None = None, **changes: Any) -> tuple[str, ...]:
    """Writes a summary of two variants, the second one with changes, and lets it pass the gate."""
    row: dict[str, Any] = dict.fromkeys(schema.SUMMARY.names)
    row |= {"variant": "base", "steps": [], "reranked": False, "mAP": 0.5, "mINP": 0.2}
    row |= {"rank_1": 0.6, "rank_5": 0.7, "rank_10": 0.8, "rank_20": 0.8, "n_queries": 9}
    row |= {"n_valid_queries": 8, "n_gallery": 20, "n_distractors": 0, "protocol": "market"}
    row |= {"transductive": False}
    rows = [row, {**row, "variant": "both", "steps": ["fuse", "rerank"], **changes}]
    table = pa.Table.from_pylist(rows, schema=schema.SUMMARY)
    write_table(Layout(root).results / "summary.parquet", table, producer="test")
    return gate_results(Layout(root), params or params_of())


def failed(root: Path) -> list[str]:
    rows = read_table(Layout(root).results / "expectations.parquet").to_pylist()
    return [row["code"] for row in rows if not row["success"]]


def test_sound_results_pass_the_first_and_the_next_time(tmp_path: Path) -> None:
    assert gate(tmp_path) == ()
    assert gate(tmp_path, mAP=0.46) == ()
    assert failed(tmp_path) == []


def test_results_without_labels_pass(tmp_path: Path) -> None:
    gate(tmp_path)
    assert gate(tmp_path, mAP=None, mINP=None, rank_1=None, rank_5=None) == ()


def test_a_fallen_map_fails_tells_both_values_and_stays_compared_with(tmp_path: Path) -> None:
    gate(tmp_path)
    for _ in range(2):
        with pytest.raises(QualityError, match=r"both: mAP fell from 0\.5000, .* to 0\.3000"):
            gate(tmp_path, mAP=0.3)
        assert failed(tmp_path) == ["map_drop"]
    assert gate(tmp_path) == ()


def test_a_fall_warns_where_the_parameters_say_so(tmp_path: Path) -> None:
    lenient = params_of(validate={"map_drop": "warn"})
    gate(tmp_path, lenient)
    assert "fell from 0.5000" in gate(tmp_path, lenient, mAP=0.3)[0]
    assert gate(tmp_path, lenient, mAP=0.3) == ()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dataset", {**params_of().dataset.model_dump(), "name": "other"}),
        ("features", {"extractor": "ipg_identity"}),
        ("features", {"model": "models/other"}),
        ("generate", {"steps": 4}),
        ("centralize", {"fuse": {"eta": 0.5}}),
        ("score", {"rerank": {"k1": 10, "k2": 6, "lambda_value": 0.3}}),
    ],
)
def test_only_results_of_the_same_kind_are_compared(tmp_path: Path, key: str, value: Any) -> None:
    gate(tmp_path)
    assert gate(tmp_path, params_of(**{key: value}), mAP=0.1) == ()
    assert gate(tmp_path, protocol="trapezoidal", mAP=0.1) == ()
    assert gate(tmp_path, steps=["fuse"], mAP=0.1) == ()
    with pytest.raises(QualityError):
        gate(tmp_path, mAP=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mAP": 1.5}, "both: mAP is 1.5"),
        ({"rank_5": 0.1}, "both: hits fall with the rank"),
        ({"n_valid_queries": 10}, "both: 10 of 9 queries valid"),
    ],
)
def test_impossible_results_fail(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(QualityError, match=message):
        gate(tmp_path, **changes)
