"""The stage `validate`: each fault has its reason, tables that do not fit fail the stage."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pose2id.errors import QualityError
from tasks.stages import validate
from tasks.stages.base import ShardReport
from tasks.stages.poses import read_poses
from tasks.tables import schema
from tasks.tables.params import Params
from tasks.tables.schema import Layout
from tasks.tables.store import read_table, shard_of, vector_column, vectors, write_table
from tests.tasks.factory import Spec, write_project

SMALL = Spec(identities=4, gallery_per_identity=2, distractors=1, poses=3, dim=8)
LENIENT = {"max_quarantine_rate": 1.0}


def run(root: Path, params: Params, split: str = "gallery") -> list[ShardReport]:
    reports = [validate.run_shard(job) for job in validate.plan(params, root, split)]
    validate.merge(params, root, split, reports)
    return reports


def ids(root: Path, split: str = "gallery") -> list[str]:
    return read_table(Layout(root).index(split)).column("image_id").to_pylist()


def part_of(folder: Path, image_id: str, params: Params) -> Path:
    return folder / f"part-{shard_of(image_id, params.shards):04d}.parquet"


def rewrite(path: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    table = pq.read_table(path)
    rows = change(table.to_pylist())
    producer = table.schema.metadata[b"pose2id.producer"].decode()
    changed = pa.Table.from_pylist(rows, schema=table.schema.remove_metadata())
    write_table(path, changed, producer=producer)


def set_row(path: Path, image_id: str, pose_id: int, **values: Any) -> None:
    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        hit = [row for row in rows if (row["image_id"], row["pose_id"]) == (image_id, pose_id)]
        assert len(hit) == 1
        hit[0].update(values)
        return rows

    rewrite(path, change)


def png(size: tuple[int, int], color: tuple[int, int, int] | None = None) -> bytes:
    """A picture of one colour, or of noise."""
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    picture = Image.new("RGB", size, color) if color else Image.fromarray(noise)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def reasons(root: Path, split: str = "gallery") -> dict[tuple[str, int], list[str]]:
    rows = read_table(Layout(root).quality(split)).to_pylist()
    return {(row["image_id"], row["pose_id"]): row["reasons"] for row in rows}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Params, list[str]]:
    """A validated gallery with one fault in each of several rows."""
    root = tmp_path_factory.mktemp("faulty")
    spec = Spec(**{**vars(SMALL), "hostile_names": True})
    params = write_project(root, spec, validate=LENIENT)
    layout, names = Layout(root), ids(root)

    def picture(image_id: str, pose_id: int, **values: Any) -> None:
        set_row(part_of(layout.generated("gallery"), image_id, params), image_id, pose_id, **values)

    def feature(image_id: str, pose_id: int, values: list[float]) -> None:
        folder = layout.features("gallery")
        set_row(part_of(folder, image_id, params), image_id, pose_id, feature=values)

    picture(names[0], 1, image=png((32, 64), (40, 40, 40)))
    picture(names[1], 1, image=png((32, 64))[:200])
    picture(names[2], 1, image=png((30, 64)))
    picture(names[3], 1, image=png((32, 64)))
    picture(names[3], 2, image=png((32, 64)))
    picture(names[4], 1, format="jpeg")
    feature(names[5], 2, [float("nan")] * SMALL.dim)
    feature(names[6], 3, [0.0] * SMALL.dim)
    feature(names[7], schema.ORIGINAL_POSE_ID, [float("inf")] * SMALL.dim)
    blank = png((32, 64), (9, 9, 9))

    def blank_original(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        (root / params.dataset.root / rows[8]["path"]).write_bytes(blank)
        rows[8]["sha256"] = hashlib.sha256(blank).hexdigest()
        return rows

    rewrite(layout.index("gallery"), blank_original)
    run(root, params)
    return root, params, names


@pytest.mark.parametrize(
    ("number", "pose_id", "reason"),
    [
        (0, 1, "blank"),
        (1, 1, "undecodable"),
        (2, 1, "wrong_size"),
        (3, 2, "poses_identical"),
        (4, 1, "wrong_format"),
        (5, 2, "nan_feature"),
        (6, 3, "zero_norm"),
        (7, -1, "nan_feature"),
        (7, 1, "original_rejected"),
        (8, -1, "blank"),
        (8, 3, "original_rejected"),
    ],
)
def test_a_faulty_row_is_rejected_for_its_reason(
    faulty: tuple[Path, Params, list[str]], number: int, pose_id: int, reason: str
) -> None:
    root, _, names = faulty
    assert reason in reasons(root)[names[number], pose_id]


def test_of_two_equal_pictures_the_earlier_pose_stays(
    faulty: tuple[Path, Params, list[str]],
) -> None:
    root, _, names = faulty
    assert reasons(root)[names[3], 1] == []


def test_every_rejected_row_is_in_quarantine_with_the_command_that_remakes_it(
    faulty: tuple[Path, Params, list[str]],
) -> None:
    root, _, _ = faulty
    rows = read_table(Layout(root).quarantine("gallery")).to_pylist()
    rejected = {key for key, codes in reasons(root).items() if codes}
    assert {(row["image_id"], row["pose_id"]) for row in rows} == rejected
    assert rows[0]["remake"].startswith("pose2id cache remake '")


def test_expectations_count_and_name_what_failed(faulty: tuple[Path, Params, list[str]]) -> None:
    root, _, names = faulty
    rows = read_table(Layout(root).expectations("gallery")).to_pylist()
    blank = [row for row in rows if row["code"] == "blank" and row["suite"] == "generated"]
    assert [(row["success"], row["n_unexpected"]) for row in blank] == [(False, 1)]
    assert json.loads(blank[0]["detail"])["failing"] == [f"{names[0]} 1"]


def test_the_same_tables_give_the_same_bytes_and_scores_are_taken_over(tmp_path: Path) -> None:
    params = write_project(tmp_path, SMALL, validate=LENIENT)
    layout = Layout(tmp_path)
    outs = (layout.quality("gallery"), layout.expectations("gallery"))
    first = run(tmp_path, params)
    before = [path.read_bytes() for path in outs]
    second = run(tmp_path, params)
    assert [path.read_bytes() for path in outs] == before
    assert all(report.n_reused == 0 for report in first)
    assert all(report.n_made == 0 for report in second)


def test_a_changed_picture_is_measured_again_although_its_key_is_the_same(tmp_path: Path) -> None:
    params = write_project(tmp_path, SMALL, validate=LENIENT)
    name = ids(tmp_path)[0]
    jobs = validate.plan(params, tmp_path, "gallery")
    for job in jobs:
        validate.run_shard(job)
    part = part_of(Layout(tmp_path).generated("gallery"), name, params)
    set_row(part, name, 2, image=b"not a picture")
    reports = [validate.run_shard(job) for job in jobs]
    # the pictures of the poses from the changed one on; those before it keep their scores
    assert sum(report.n_made for report in reports) == 2
    scores = read_table(Layout(tmp_path).scores("gallery", shard_of(name, params.shards)))
    row = next(r for r in scores.to_pylist() if (r["image_id"], r["pose_id"]) == (name, 2))
    assert row["decoded_size"] is None


class FirstPose:
    """A pose network that sees the first pose in every drawing, and counts its pictures."""

    fingerprint = "first"

    def __init__(self, root: Path) -> None:
        self.pose = read_poses(Layout(root))[1][:1]
        self.n_pictures = 0

    def __call__(self, pictures: list[Image.Image]) -> np.ndarray:
        self.n_pictures += len(pictures)
        return self.pose


def test_drawings_in_another_pose_are_rejected_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {**LENIENT, "min_pose_pck": 0.5}
    params = write_project(tmp_path, SMALL, validate=asked)
    layout = Layout(tmp_path)
    poses = read_table(layout.poses)
    sure = vectors(poses, "keypoints").reshape(-1, schema.N_KEYPOINTS, 3)
    sure[:, :, 2] = 1
    place = poses.schema.get_field_index("keypoints")
    column = vector_column(sure.reshape(len(sure), -1))
    write_table(
        layout.poses, poses.set_column(place, poses.schema.field(place), column), producer=""
    )
    network = FirstPose(tmp_path)
    monkeypatch.setattr("pose2id.poses.estimators.shipped_estimator", lambda root: network)
    run(tmp_path, params)
    rows = read_table(layout.quality("gallery")).to_pylist()
    assert {row["pose_pck"] for row in rows if row["pose_id"] == 1} == {1.0}
    assert {row["pose_pck"] for row in rows if row["pose_id"] == -1} == {None}
    lost = {row["pose_id"] for row in rows if "pose_lost" in row["reasons"]}
    assert lost == {2, 3}
    assert all(row["pose_pck"] < 0.5 for row in rows if row["pose_id"] in lost)
    n_drawings = sum(row["pose_id"] > 0 for row in rows)
    run(tmp_path, params)
    assert network.n_pictures == n_drawings  # of unchanged drawings the scores are kept
    off = params.validate_.model_copy(update={"min_pose_pck": None})
    run(tmp_path, params.model_copy(update={"validate_": off}))
    assert {row["pose_pck"] for row in read_table(layout.quality("gallery")).to_pylist()} == {None}


def test_missing_doubled_and_unknown_rows_fail_the_stage(tmp_path: Path) -> None:
    params = write_project(tmp_path, SMALL, validate=LENIENT)
    layout, names = Layout(tmp_path), ids(tmp_path)

    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        kept = [row for row in rows if (row["image_id"], row["pose_id"]) != (names[0], 2)]
        double = next(row for row in kept if row["image_id"] == names[0])
        return [*kept, double, {**double, "image_id": "gallery/stranger"}]

    rewrite(part_of(layout.generated("gallery"), names[0], params), change)
    last_good = layout.expectations("gallery").read_bytes()
    with pytest.raises(QualityError) as caught:
        run(tmp_path, params)
    message = str(caught.value)
    assert f"missing_row: 1 of 29 rows of generated: {names[0]} 2" in message
    assert f"duplicate_id: 2 of 29 rows of generated: {names[0]} 1" in message
    assert "unknown_row: 1 of 29 rows of generated: gallery/stranger 1" in message
    assert "wrong_count: found 28" in message
    assert layout.expectations("gallery").read_bytes() == last_good
    failed = read_table(layout.failed_expectations("gallery"))
    codes = failed.filter(pc.invert(failed.column("success"))).column("code").to_pylist()
    assert {"missing_row", "duplicate_id", "unknown_row"} <= set(codes)


def test_features_of_two_widths_fail_the_stage(tmp_path: Path) -> None:
    params = write_project(tmp_path, SMALL)
    part = Layout(tmp_path).features("gallery") / "part-0001.parquet"
    table = pq.read_table(part)
    narrow = pa.FixedSizeListArray.from_arrays(pa.array(vectors(table)[:, :4].reshape(-1)), 4)
    place = table.schema.get_field_index("feature")
    table = table.set_column(place, "feature", narrow)
    write_table(part, table, producer="f" * 64)
    with pytest.raises(QualityError, match=r"wrong_schema.*part-0001.parquet feature float\[4\]"):
        run(tmp_path, params)


def test_more_rejected_rows_than_allowed_fail_with_counts_and_files(tmp_path: Path) -> None:
    params = write_project(tmp_path, SMALL, validate={"min_identity_similarity": 1.0})
    layout = Layout(tmp_path)
    last_good = layout.quality("query").read_bytes()
    with pytest.raises(QualityError) as caught:
        run(tmp_path, params, "query")
    message = str(caught.value)
    assert "12 of 16 rows were rejected" in message
    assert "identity_lost 12" in message
    assert "max_quarantine_rate 0.05" in message
    assert str(layout.quarantine("query")) in message
    assert "pose2id cache remake query/" in message
    assert read_table(layout.quarantine("query")).num_rows == 12
    assert layout.quality("query").read_bytes() == last_good


def test_distractors_need_no_pictures_where_none_are_drawn(tmp_path: Path) -> None:
    drawn = {"distractors": False}
    params = write_project(tmp_path, SMALL, validate=LENIENT, generate=drawn)
    layout = Layout(tmp_path)
    index = read_table(layout.index("gallery"))
    spared = index.filter(index.column("distractor")).column("image_id").to_pylist()
    for folder in (layout.generated("gallery"), layout.features("gallery")):
        for part in folder.glob("*.parquet"):
            rewrite(
                part,
                lambda rows: [
                    row for row in rows if row["image_id"] not in spared or row["pose_id"] < 0
                ],
            )
    run(tmp_path, params)
    assert {(name, -1) for name in spared} <= set(reasons(tmp_path))
    assert not {(name, 1) for name in spared} & set(reasons(tmp_path))
