"""The suites by themselves: index, collapsed and drifting features, results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pose2id.errors import ParamsError
from pose2id.quality import FeatureStatistics
from tasks.gates.features import (
    MIN_DRIFT_ROWS,
    History,
    dimensions_suite,
    drift_suite,
    histories,
    remember,
    statistics,
)
from tasks.gates.index import index_suite
from tasks.gates.running import Gates, Outcome, Suite
from tasks.tables import schema
from tasks.tables.params import Params
from tasks.tables.schema import Layout
from tasks.tables.store import read_table, write_table
from tests.tasks.factory import Spec, params_of, write_project

SMALL = Spec(identities=4, gallery_per_identity=2, distractors=1, poses=2, dim=8)


def unmet(suite: Suite | None) -> dict[str, Outcome]:
    assert suite is not None
    return {found.check.code: found for found in Gates().run(suite) if not found.success}


def edit_index(layout: Layout, **columns: list[Any]) -> None:
    path = layout.index("gallery")
    table = read_table(path)
    for name, values in columns.items():
        field = table.schema.field(name)
        column = pa.array(values, field.type)
        table = table.set_column(table.schema.get_field_index(name), field, column)
    write_table(path, table.cast(schema.INDEX), producer="index")


def index_faults(root: Path, params: Params, **columns: list[Any]) -> dict[str, Outcome]:
    layout = Layout(root)
    edit_index(layout, **columns)
    names = read_table(layout.index("gallery")).column("image_id").to_pylist()
    good = {"image_id": names, "pose_id": -1, "decoded_size": "32x64", "pixel_std": 50.0}
    return unmet(index_suite(layout, "gallery", params, pd.DataFrame(good).drop_duplicates()))


@pytest.fixture
def project(tmp_path: Path) -> tuple[Path, Params]:
    """A project whose gallery images have different bytes."""
    params = write_project(tmp_path, SMALL)
    edit_index(Layout(tmp_path), sha256=[f"{n:064x}" for n in range(9)])
    return tmp_path, params


def test_a_sound_index_meets_every_expectation(project: tuple[Path, Params]) -> None:
    assert index_faults(*project) == {}


def test_doubled_keys_wrong_labels_and_cameras_are_found(project: tuple[Path, Params]) -> None:
    names = [f"gallery/{n}" for n in (1, 1, 2, 3, 4, 5, 6, 7, 8)]
    pids = [1, -5, 1, 2, 2, 3, None, 4, 4]
    camids = [0, 1, -2, 0, 1, 0, 1, None, 0]
    found = index_faults(*project, image_id=names, pid=pids, camid=camids)
    assert {code: outcome.n_unexpected for code, outcome in found.items()} == {
        "duplicate_id": 2,
        "invalid_label": 1,
        "invalid_camera": 1,
        "missing_label": 1,
        "missing_camera": 1,
    }
    assert found["invalid_camera"].labels == ("gallery/2",)


def test_copies_are_reported_and_the_first_of_them_stays(project: tuple[Path, Params]) -> None:
    root, params = project
    query = read_table(Layout(root).index("query")).column("sha256")[0].as_py()
    digests = ["a" * 64, "a" * 64, "a" * 64, query, *(f"{n:064x}" for n in range(5))]
    stricter = params.model_copy(
        update={"validate_": params.validate_.model_copy(update={"duplicates": "quarantine"})}
    )
    found = index_faults(root, stricter, sha256=digests)
    assert found["duplicate_image"].rows.tolist() == [1, 2]
    assert found["duplicate_image"].check.severity == "quarantine"
    assert found["query_in_gallery"].rows.tolist() == [3]
    assert found["query_in_gallery"].check.severity == "warn"
    assert found["contradicting_labels"].rows.tolist() == [0, 1, 2]


def test_an_index_without_labels_and_cameras_is_sound(project: tuple[Path, Params]) -> None:
    assert index_faults(*project, pid=[None] * 9, camid=[None] * 9) == {}


def test_one_camera_in_the_gallery_is_worth_a_warning(project: tuple[Path, Params]) -> None:
    found = index_faults(*project, camid=[3] * 9)
    assert [(code, item.check.severity) for code, item in found.items()] == [
        ("single_camera", "warn")
    ]


def test_mostly_constant_dimensions_are_a_collapse() -> None:
    rows = np.ones((20, 10), np.float32)
    rows[:, :4] = np.random.default_rng(0).normal(size=(20, 4))
    found = {"original": FeatureStatistics.of(rows)}
    assert unmet(dimensions_suite(found, params_of()))["collapsed_feature"].n_unexpected == 6
    lenient = params_of(validate={"max_collapsed_fraction": 0.6})
    assert unmet(dimensions_suite(found, lenient)) == {}


def test_equal_originals_are_a_collapse_however_their_pictures_differ() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 10)).astype(np.float32)
    found = {
        "original": FeatureStatistics.of(np.ones((20, 10), np.float32)),
        "generated": FeatureStatistics.of(rows),
    }
    assert unmet(dimensions_suite(found, params_of()))["collapsed_feature"].n_unexpected == 10
    found["original"] = FeatureStatistics.of(rows[:10])
    assert unmet(dimensions_suite(found, params_of())) == {}


def test_the_first_run_has_nothing_to_compare_with_and_the_next_one_has(tmp_path: Path) -> None:
    params = write_project(tmp_path, replace(SMALL, identities=MIN_DRIFT_ROWS))
    layout = Layout(tmp_path)
    found = statistics(layout, "query", params.shards)
    first = histories(layout, "query", params, found)
    assert [item.note for item in first] == ["no earlier run to compare with"] * 2
    assert drift_suite(first, params) is None
    remember(first)
    again = histories(layout, "query", params, found)
    assert [item.drift for item in again] == [0.0, 0.0]
    other_data = params.model_copy(
        update={"dataset": params.dataset.model_copy(update={"name": "other"})}
    )
    assert histories(layout, "query", other_data, found)[0].drift is None


def test_a_far_drift_fails(tmp_path: Path) -> None:
    now = FeatureStatistics.of(np.eye(4, dtype=np.float32))
    drifted = History("original", tmp_path / "none", now, 0.7, "")
    steady = History("generated", tmp_path / "none", now, 0.2, "")
    found = unmet(drift_suite([steady, drifted], params_of()))
    assert found["feature_drift"].labels == ("original 0.7",)
    assert found["feature_drift"].check.severity == "fail"


@pytest.mark.parametrize(
    ("key", "value"),
    [("max_quarantine_rate", 2), ("duplicates", "drop"), ("min_pixel_std", 200), ("other", 1)],
)
def test_a_limit_that_cannot_be_names_its_key(key: str, value: Any) -> None:
    with pytest.raises(ParamsError, match=f"validate.{key}"):
        params_of(validate={key: value})
