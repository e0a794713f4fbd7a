"""Key points of real images, and the dataset's own poses chosen from them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pose2id.errors import DataError, QualityError
from pose2id.renderer import Camera, Identity, render_shot
from tasks.stages import keypoints, poses
from tasks.stages.base import ShardReport
from tasks.tables import schema
from tasks.tables.params import Params
from tasks.tables.schema import Layout
from tasks.tables.store import read_table, vector_column, vectors, write_table
from tests.tasks.factory import params_of

REPOSITORY = Path(__file__).parents[3]
PEOPLE = 6


def project(root: Path, **poses_section: object) -> Params:
    """A project with one indexed split of rendered people, and the shipped pose network."""
    (root / "models").mkdir(parents=True)
    (root / "models/blazepose-lite").symlink_to(REPOSITORY / "models/blazepose-lite")
    params = params_of(poses={"split": "query", "ids": [1, 2], **poses_section})
    folder = root / params.dataset.root
    folder.mkdir(parents=True)
    rows = []
    for number in range(PEOPLE):
        name = f"{number:04d}_c1s1_000000_00"
        shot = render_shot(Identity.sample(9100, number), Camera.sample(9100, 0), number, 256, 128)
        path = folder / f"{name}.png"
        Image.fromarray(shot.image).save(path)
        rows.append(
            {
                "image_id": f"query/{name}",
                "path": path.name,
                "split": "query",
                "pid": number,
                "camid": 0,
                "modality": "visible",
                "clothes_id": None,
                "distractor": False,
                "width_px": 128,
                "height_px": 256,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "n_bytes": path.stat().st_size,
            }
        )
    table = pa.Table.from_pylist(rows, schema=schema.INDEX)
    write_table(Layout(root).index("query"), table, producer="test")
    return params


def run(root: Path, params: Params) -> list[ShardReport]:
    reports = [keypoints.run_shard(job) for job in keypoints.plan(params, root, "query")]
    keypoints.merge(params, root, "query", reports)
    return reports


def test_nothing_is_looked_for_where_nothing_asks(tmp_path: Path) -> None:
    params = project(tmp_path, source="standard")
    (tmp_path / "models/blazepose-lite").unlink()
    assert sum(report.n_rows for report in run(tmp_path, params)) == 0
    assert read_table(Layout(tmp_path).keypoints("query")).schema == schema.KEYPOINTS


def test_key_points_are_found_once_and_kept(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    params = project(tmp_path, source="dataset")
    assert sum(report.n_made for report in run(tmp_path, params)) == PEOPLE
    part = Layout(tmp_path).keypoints("query") / "part-0000.parquet"
    first = part.read_bytes()
    assert sum(report.n_made for report in run(tmp_path, params)) == 0
    assert part.read_bytes() == first
    points = vectors(read_table(Layout(tmp_path).keypoints("query")), "keypoints")
    found = points.reshape(PEOPLE, 18, 3)
    upright = found[:, 0, 1] < found[:, 10, 1]  # the nose above the right ankle
    assert upright.mean() > 0.8


def test_rows_that_cannot_be_fail_the_stage(tmp_path: Path) -> None:
    params = project(tmp_path, source="dataset")
    rows = np.full((PEOPLE - 1, 54), 0.5, np.float32)
    rows[0, 5] = np.nan
    ids = read_table(Layout(tmp_path).index("query")).column("image_id").to_pylist()[1:]
    write_keypoints(tmp_path, ids, rows)
    with pytest.raises(QualityError, match=r"row_count: 1 of 6"):
        keypoints.merge(params, tmp_path, "query", [])


def test_the_datasets_own_poses_are_its_images(tmp_path: Path) -> None:
    params = project(tmp_path, source="dataset")
    standing = np.random.default_rng(3).uniform(0.2, 0.8, (10, 18, 3)).astype(np.float32)
    standing[:, :, 2] = 0.9
    write_keypoints(tmp_path, [f"query/{n}" for n in range(10)], standing.reshape(10, -1))
    poses.run_shard(poses.plan(params, tmp_path, "")[0])
    ids, chosen = poses.read_poses(Layout(tmp_path))
    assert ids == [1, 2]
    for pose in chosen:
        assert (np.abs(standing - pose).max(axis=(1, 2)) == 0).any()


def test_poses_of_a_dataset_need_its_key_points(tmp_path: Path) -> None:
    params = project(tmp_path, source="dataset")
    write_keypoints(tmp_path, [], np.empty((0, 54), np.float32))
    with pytest.raises(DataError, match="stage keypoints query"):
        poses.run_shard(poses.plan(params, tmp_path, "")[0])


def write_keypoints(root: Path, ids: list[str], rows: np.ndarray) -> None:
    columns = {
        "image_id": ids,
        "pose_id": pa.array([-1] * len(ids), pa.int16()),
        "keypoints": vector_column(rows),
        "key": ids,
    }
    table = pa.table(columns, schema=schema.KEYPOINTS)
    write_table(Layout(root).keypoints("query") / "part-0000.parquet", table, producer="test")
