"""Stage score: every protocol's needs, and data with which little or nothing can be measured."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pose2id.errors import DataError, ParamsError
from tasks.stages import score
from tasks.tables import schema
from tasks.tables.labels import read_labels
from tasks.tables.params import Params, parse_params
from tasks.tables.schema import Layout
from tasks.tables.store import read_table, vector_column, write_table
from tests.tasks.factory import Spec, params_of, write_project

VARIANTS = {"base": [], "base_rerank": ["rerank"], "nfc": ["nfc"]}
BIAS = ("camera_nmi", "camera_nmi_by_chance", "identity_nmi")
METRICS = ("mAP", "mINP", "rank_1", "mAP_std", "rank_1_std", "mAP_delta")


def project(root: Path, spec: Spec | None = None, **score_section: object) -> Params:
    """A written project whose `score` section is as given."""
    section = {"top_k": 5, "bootstrap_resamples": 100, **score_section}
    return write_project(root, spec or Spec(), score=section, variants=VARIANTS)


def run(params: Params, root: Path) -> list[dict]:
    """Runs the stage and returns the summary's rows."""
    (job,) = score.plan(params, root, "")
    score.run_shard(job)
    return read_table(Layout(root).results / "summary.parquet").to_pylist()


def change_index(root: Path, split: str, **columns: object) -> None:
    """Overwrites columns of an index, adding those that it does not have."""
    path = Layout(root).index(split)
    table = read_table(path)
    for name, values in columns.items():
        array = pa.array(values)
        if name in table.column_names:
            field = table.schema.field(name)
            table = table.set_column(
                table.schema.get_field_index(name), field, array.cast(field.type)
            )
        else:
            table = table.append_column(name, array)
    write_table(path, table, producer="test")


def lists(root: Path) -> list[dict]:
    return read_table(Layout(root).results / "rankings.parquet").to_pylist()


def assert_only_lists(rows: list[dict], root: Path, sentence: str) -> None:
    assert [row["variant"] for row in rows] == list(VARIANTS)
    for row in rows:
        assert [row[name] for name in METRICS] == [None] * len(METRICS)
        assert sentence in row["note"]
        assert row["n_valid_queries"] == 0
    assert len(lists(root)) >= len(VARIANTS) * rows[0]["n_queries"]


def test_rows_say_protocol_trials_and_spread(tmp_path: Path) -> None:
    params = project(tmp_path, protocol="cuhk03_classic")
    for row in run(params, tmp_path):
        assert (row["protocol"], row["n_trials"]) == ("cuhk03_classic", 10)
        assert row["rank_1_std"] >= 0
    market = params.model_copy(
        update={"score": params.score.model_copy(update={"protocol": "market"})}
    )
    rows = run(market, tmp_path)
    assert all(0 < row[name] <= 1 for row in rows for name in BIAS)
    assert [rows[0][name] for name in BIAS] == [rows[1][name] for name in BIAS]  # re-ranked
    for row in rows:
        assert (row["protocol"], row["n_trials"]) == ("market", 1)
        assert (row["mAP_std"], row["rank_1_std"], row["note"]) == (None, None, None)


def test_both_directions_are_scored_after_re_ranking_too(tmp_path: Path) -> None:
    rows = run(project(tmp_path, protocol="regdb"), tmp_path)
    for row in rows:
        assert row["n_trials"] == 2
        assert "query to gallery: mAP" in row["note"]
        assert "gallery to query: mAP" in row["note"]
    assert len({row["mAP"] for row in rows}) == 3


def test_no_labels_at_all_end_in_lists(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    params = project(tmp_path, Spec(labels=False, has_cameras=False))
    with caplog.at_level(logging.WARNING):
        rows = run(params, tmp_path)
    assert_only_lists(rows, tmp_path, "no person ids on one side")
    assert {row[name] for row in rows for name in BIAS} == {None}
    assert "no person ids" in caplog.text


def test_no_labels_are_no_reason_to_refuse_a_protocol(tmp_path: Path) -> None:
    params = project(tmp_path, Spec(labels=False), protocol="clothes_changed")
    assert_only_lists(run(params, tmp_path), tmp_path, "no person ids on one side")


def test_one_camera_says_how_to_score_without_the_rule(tmp_path: Path) -> None:
    params = project(tmp_path, Spec(cameras=1))
    assert_only_lists(run(params, tmp_path), tmp_path, 'with protocol "none" they would count')
    free = params.score.model_copy(update={"protocol": "none"})
    rows = run(params.model_copy(update={"score": free}), tmp_path)
    assert all(row["mAP"] and row["identity_nmi"] for row in rows)
    assert {row["camera_nmi"] for row in rows} == {None}


def test_disjoint_people_and_distractors_alone_end_in_lists(tmp_path: Path) -> None:
    params = project(tmp_path)
    n_gallery = read_table(Layout(tmp_path).index("gallery")).num_rows
    change_index(tmp_path, "gallery", pid=[900 + row for row in range(n_gallery)])
    change_index(tmp_path, "gallery", distractor=[False] * n_gallery)
    assert_only_lists(run(params, tmp_path), tmp_path, "share no person")
    change_index(tmp_path, "gallery", distractor=[True] * n_gallery)
    assert_only_lists(run(params, tmp_path), tmp_path, "distractors alone")


@pytest.mark.parametrize("identities", [1, 2])
def test_hardly_any_images_are_enough(tmp_path: Path, identities: int) -> None:
    spec = Spec(identities=identities, gallery_per_identity=1, distractors=0, cameras=1)
    rows = run(project(tmp_path, spec, protocol="none"), tmp_path)
    assert rows[0]["n_gallery"] == rows[0]["n_queries"] == identities
    assert all(row["mAP"] is not None for row in rows)
    assert "k1 20 lowered to" in rows[1]["note"]


@pytest.mark.parametrize(
    ("protocol", "column"),
    [("clothes_same", "clothes_id"), ("tracklet", "tracklet_id"), ("group", "group")],
)
def test_an_absent_column_is_named_before_anything_is_scored(
    tmp_path: Path, protocol: str, column: str
) -> None:
    params = project(tmp_path, protocol=protocol)
    with pytest.raises(DataError, match=f"{protocol} needs the index column '{column}'"):
        score.plan(params, tmp_path, "")
    for split in ("query", "gallery"):
        n = read_table(Layout(tmp_path).index(split)).num_rows
        values = [row % 2 for row in range(n)]
        names = values if column == "clothes_id" else [f"{split}{value}" for value in values]
        change_index(tmp_path, split, **{column: names})
    assert run(params, tmp_path)[0]["protocol"] == protocol


def test_permutations_are_asked_for_by_name(tmp_path: Path) -> None:
    params = project(tmp_path, protocol="sysu_mm01_all_1shot")
    with pytest.raises(DataError, match=r"set score\.permutations .*sysu_mm01_all_1shot_seeded"):
        score.plan(params, tmp_path, "")
    named = params.score.model_copy(update={"permutations": "nowhere.mat"})
    with pytest.raises(DataError, match=r"'nowhere\.mat', and there is no such file"):
        score.plan(params.model_copy(update={"score": named}), tmp_path, "")
    with pytest.raises(ParamsError, match=r"score\.protocol"):
        parse_params({**params_of().model_dump(mode="json"), "score": {"protocol": "sysu"}})


def test_ties_do_not_favour_distractors(tmp_path: Path) -> None:
    spec = Spec(identities=40, gallery_per_identity=1, distractors=40, has_cameras=False)
    params = project(tmp_path, spec)
    for split in ("query", "gallery"):
        for variant in ("base", "nfc"):
            path = Layout(tmp_path).centralized(split) / f"{variant}.parquet"
            ids = read_table(path).column("image_id")
            same = vector_column(np.ones((len(ids), 4), np.float32) / 2)
            columns = {"variant": [variant] * len(ids), "image_id": ids, "feature": same}
            table = pa.table(columns, schema=schema.centralized(4))
            write_table(path, table, producer="test")
    run(params, tmp_path)
    for variant in ("base", "base_rerank"):
        rows = [row for row in lists(tmp_path) if row["variant"] == variant]
        nearest = {row["gallery_id"] for row in rows if row["rank"] <= 5}
        assert 0 < sum("/00000_" in image_id for image_id in nearest) < 5
        assert len({row["distance"] for row in rows}) == 1


def test_a_split_scored_against_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="every query would find itself"):
        project(tmp_path, Spec(has_cameras=False), query="gallery")


def test_labels_come_in_the_order_asked_for(tmp_path: Path) -> None:
    project(tmp_path)
    layout = Layout(tmp_path)
    every = read_labels(layout, "gallery")
    ids = every.image_ids.tolist()[::-2]
    some = read_labels(layout, "gallery", ids)
    assert some.image_ids.tolist() == ids
    assert np.array_equal(some.pids, every.pids[::-2])
    assert (some.tracklets, some.clothes_ids) == (None, None)
    with pytest.raises(DataError, match=r"1 images of 'gallery' have features but no index row"):
        read_labels(layout, "gallery", ["gallery/nobody"])
