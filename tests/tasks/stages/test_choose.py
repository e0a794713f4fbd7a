"""Stage `choose`: what `auto` stands for, and what becomes of it in features and results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pose2id.errors import DataError, ParamsError
from pose2id.steps.fuse import STEP, FuseParams
from tasks.reporting.results import done_in_words
from tasks.stages.base import Job, load_stage
from tasks.tables import schema
from tasks.tables.choice import applied
from tasks.tables.params import Params, parse_params
from tasks.tables.schema import Layout
from tasks.tables.seal import table_schema
from tasks.tables.store import read_table, vector_column, vectors, write_table
from tests.tasks.choosing.projects import as_train
from tests.tasks.factory import Spec

AUTO = {
    "fuse": {"eta": "auto"},
    "nfc": {"k1": "auto", "k2": "auto"},
    "camera_normalize": {"use": "auto"},
}
VARIANTS = {"base": [], "ipg": ["fuse"], "all": ["fuse", "camera_normalize", "nfc"]}


def run(root: Path, params: Params, *stages: str) -> None:
    for stage in stages:
        for split in ("query", "gallery") if stage == "centralize" else ("",):
            load_stage(stage).run_shard(Job(stage, split, 0, 1, str(root), params))


EIGHT = Spec(identities=8, gallery_per_identity=6)


def project(root: Path, spec: Spec = EIGHT) -> Params:
    return as_train(root, spec, centralize=AUTO, variants=VARIANTS)


def spoil(layout: Layout, *splits: str, drawings: bool) -> None:
    """Features, of drawings or of originals, that say nothing of the person."""
    rng = np.random.default_rng(0)
    for part in (part for split in splits for part in layout.features(split).glob("*.parquet")):
        table = read_table(part)
        features = vectors(table).copy()
        spoilt = (np.asarray(table.column("pose_id")) != -1) == drawings
        features[spoilt] = rng.normal(size=features[spoilt].shape)
        place = table.schema.get_field_index("feature")
        column = vector_column(features)
        write_table(part, table.set_column(place, "feature", column), producer="f" * 64)


def test_auto_is_what_the_train_split_chose_and_the_results_say_what_was_done(
    tmp_path: Path,
) -> None:
    params, layout = project(tmp_path), Layout(tmp_path)
    run(tmp_path, params, "choose", "centralize", "score")
    rows = read_table(layout.choice).to_pylist()
    chosen = {tuple(row["chain"]): row for row in rows if row["chosen"]}
    assert set(chosen) == {("fuse",), ("fuse", "camera_normalize", "nfc")}
    assert len(rows) == 3 + 3 * 2 * 4  # eta 0 and 2 more, cameras in or out, k 0 to 3
    assert all(row["why"] for row in rows)
    assert chosen["fuse",]["eta"] > 0  # the factory's drawings are good ones
    summary = {
        row["variant"]: row for row in read_table(layout.results / "summary.parquet").to_pylist()
    }
    assert summary["ipg"]["applied"] == ["fuse"]
    assert summary["ipg"]["eta"] == chosen["fuse",]["eta"]
    assert (
        f"fuse: eta {chosen['fuse',]['eta']:g}, chosen on 8 people of train"
        in summary["ipg"]["note"]
    )
    assert (summary["base"]["applied"], summary["base"]["eta"]) == ([], None)


def test_a_step_that_does_not_help_is_left_out_and_changes_nothing(tmp_path: Path) -> None:
    params, layout = project(tmp_path), Layout(tmp_path)
    spoil(layout, "train", drawings=True)
    run(tmp_path, params, "choose", "centralize", "score")
    ipg, base = (layout.centralized("query") / f"{name}.parquet" for name in ("ipg", "base"))
    assert np.array_equal(*(vectors(read_table(path, ["feature"])) for path in (ipg, base)))
    assert b"fuse: off, chosen on 8 people" in table_schema(ipg).metadata[b"pose2id.applied"]
    rows = [row for row in read_table(layout.choice).to_pylist() if row["chain"] == ["fuse"]]
    assert {row["why"] for row in rows if row["steps"]} != {"chosen"}


def test_a_second_network_is_asked_where_it_helps_and_left_out_where_it_does_not(
    tmp_path: Path,
) -> None:
    params, layout = project(tmp_path), Layout(tmp_path)
    raw = params.model_dump(mode="json", by_alias=True)
    raw["features"]["second"] = "ipg_identity"
    raw["variants"] = {"base": [], "two": ["second_opinion"]}
    raw["centralize"]["second_opinion"] = {"weight": "auto"}
    params = parse_params(raw)
    spoil(layout, "train", "query", "gallery", drawings=False)
    write_second(layout, knows_people=True)
    run(tmp_path, params, "choose", "centralize", "score")
    what = applied(params, layout, "two")
    assert what.chain == ("second_opinion",)
    weight = what.params["second_opinion"].weight
    assert what.notes == (f"second_opinion: weight {weight:g}, chosen on 8 people of train",)
    summary = read_table(layout.results / "summary.parquet").to_pylist()
    assert summary[1]["mAP"] > summary[0]["mAP"] + 0.2
    write_second(layout, knows_people=False)
    run(tmp_path, params, "choose")
    assert applied(params, layout, "two").chain == ()


def write_second(layout: Layout, *, knows_people: bool) -> None:
    """Features of a second network, of each person a direction, or noise."""
    rng = np.random.default_rng(2)
    for split in ("train", "query", "gallery"):
        index = read_table(layout.index(split), ["image_id", "pid"])
        pids = np.asarray(index["pid"].fill_null(0), np.int64)
        rows = rng.normal(size=(len(pids), 16)).astype(np.float32)
        if knows_people:
            rows = 0.1 * rows + np.eye(16, dtype=np.float32)[pids % 16]
        table = pa.table(
            {
                "image_id": index["image_id"],
                "pose_id": pa.array([-1] * len(pids), pa.int16()),
                "feature": vector_column(rows),
                "key": index["image_id"],
            },
            schema=schema.features(16),
        )
        part = layout.second_features(split) / "part-0000.parquet"
        write_table(part, table, producer="e" * 64)


def test_a_value_set_by_hand_stands_and_does_not_change_the_choice(tmp_path: Path) -> None:
    params, layout = project(tmp_path), Layout(tmp_path)
    run(tmp_path, params, "choose")
    before = layout.choice.read_bytes()
    raw = params.model_dump(mode="json", by_alias=True)
    raw["centralize"]["fuse"]["eta"] = 3.0
    by_hand = parse_params(raw)
    run(tmp_path, by_hand, "choose")
    assert layout.choice.read_bytes() == before
    what = applied(by_hand, layout, "ipg")
    assert (what.chain, what.params["fuse"].eta, what.notes) == (("fuse",), 3.0, ())


@pytest.mark.parametrize(
    ("spec", "split", "steps", "words"),
    [
        (Spec(labels=False), "train", ["camera_normalize"], "no person ids"),
        (Spec(labels=False, has_cameras=False), "train", [], "no person ids"),
        (Spec(identities=4, gallery_per_identity=1), "train", [], "two pictures"),
        (Spec(), "gallery", ["camera_normalize"], "what is scored"),
    ],
)
def test_without_evidence_what_can_harm_is_off_and_the_notes_say_why(
    tmp_path: Path, spec: Spec, split: str, steps: list[str], words: str
) -> None:
    params, layout = project(tmp_path, spec), Layout(tmp_path)
    search = params.tune.model_copy(update={"split": split})
    params = params.model_copy(update={"tune": search})
    run(tmp_path, params, "choose", "centralize")
    what = applied(params, layout, "all")
    assert [step for step in what.chain if step != "nfc"] == steps
    assert any(words in note for note in what.notes)
    assert applied(params, layout, "ipg").chain == ()


def test_nothing_to_choose_is_an_empty_table(tmp_path: Path) -> None:
    params, layout = project(tmp_path), Layout(tmp_path)
    plain = params.model_copy(update={"variants": {"base": (), "white": ("whiten",)}})
    run(tmp_path, plain, "choose")
    assert read_table(layout.choice).num_rows == 0
    with pytest.raises(DataError, match="says nothing of the chain"):
        applied(params, layout, "ipg")
    layout.choice.unlink()
    with pytest.raises(DataError, match="dvc repro"):
        applied(params, layout, "ipg")


@pytest.mark.parametrize(
    ("tune", "words"),
    [({"steps": ["nfc"]}, "tune.steps lacks"), ({"split": "val"}, "not among splits")],
)
def test_auto_that_nobody_could_choose_is_refused(
    tmp_path: Path, tune: dict[str, object], words: str
) -> None:
    params = project(tmp_path)
    raw = params.model_dump(mode="json", by_alias=True) | {"tune": tune}
    with pytest.raises(ParamsError, match=words):
        parse_params(raw)


def test_auto_is_no_value_for_the_library() -> None:
    with pytest.raises(ParamsError, match=r"fuse\.eta is auto"):
        STEP.apply(None, FuseParams(eta="auto"), None)  # type: ignore[arg-type]


def test_the_report_says_what_was_done_of_a_chain_and_what_was_left_out() -> None:
    row = {"steps": ["fuse", "nfc", "rerank"], "eta": 8.0, "k1": None, "k2": None}
    words = done_in_words({**row, "applied": ["fuse"]})
    assert words.endswith("then k-reciprocal re-ranking (eta 8, nfc off)")
    assert "neighbours" not in words.partition("re-ranking")[0]
    assert "neighbours" in done_in_words({**row, "applied": ["fuse", "nfc"], "k1": 1, "k2": 1})
