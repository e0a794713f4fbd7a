"""New images cost only themselves; what has not changed is never made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.tables.store import read_table
from tests.flows.conftest import FOLDERS, Stages

CHAIN = ("index", "poses", "generate", "features")
N_IMAGES, N_POSES = 8, 2


@pytest.fixture
def ran(stages: Stages) -> Stages:
    first = stages.stages(*CHAIN)
    assert first["generate"]["made"] == N_IMAGES * N_POSES
    assert first["features"]["made"] == N_IMAGES * (N_POSES + 1)
    return stages


def made(project: Stages) -> tuple[int, int]:
    found = project.stages(*CHAIN)
    return found["generate"]["made"], found["features"]["made"]


def tables(project: Stages) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (project.root / "data").rglob("*.parquet")}


def test_nothing_new_makes_nothing_and_writes_the_same_bytes(ran: Stages):
    before = tables(ran)
    assert made(ran) == (0, 0)
    assert tables(ran) == before


def test_a_new_image_costs_only_itself(ran: Stages):
    ran.add_image("gallery", "0004_c1s1_000001_00.png")
    assert made(ran) == (N_POSES, N_POSES + 1)


def test_a_changed_image_is_made_again_and_its_undo_costs_nothing(ran: Stages):
    before = tables(ran)
    path = ran.images("query") / "0001_c1s1_000001_00.png"
    original = path.read_bytes()
    path.write_bytes((ran.images("query") / "0002_c1s1_000001_00.png").read_bytes() + b"changed")
    # The same person drawn again gives pictures that are there already: only the file is new.
    assert made(ran) == (N_POSES, 1)
    assert tables(ran) != before
    path.write_bytes(original)
    assert made(ran) == (0, 0)
    assert tables(ran) == before


def test_a_renamed_image_is_found_by_its_content(ran: Stages):
    path = ran.images("gallery") / "0001_c2s1_000001_00.png"
    path.rename(path.with_name("0001_c2s1_000007_00.png"))
    # With noise of the pose alone, a picture is determined by what the reference holds; but a
    # shard is chosen by name, so another shard may have to make it again.
    n_pictures, n_features = made(ran)
    assert n_pictures in (0, N_POSES)
    assert n_features in (0, N_POSES + 1)
    ids = read_table(ran.root / "data" / "generated" / "gallery").column("image_id").to_pylist()
    assert "gallery/0001_c2s1_000007_00" in ids
    assert "gallery/0001_c2s1_000001_00" not in ids


def test_a_removed_image_leaves_every_table(ran: Stages):
    gone = ran.images("gallery") / "0003_c2s1_000001_00.png"
    gone.unlink()
    ran.stages(*CHAIN, "validate", "centralize", "score")
    for path in (ran.root / "data").rglob("*.parquet"):
        table = read_table(path)
        for column in {"image_id", "gallery_id"} & set(table.column_names):
            assert "gallery/0003_c2s1_000001_00" not in table.column(column).to_pylist(), path


@pytest.mark.parametrize(
    ("change", "undo"),
    [
        ({"generate__seed": 1}, {"generate__seed": 12580}),
        ({"generate__steps": 2}, {"generate__steps": 1}),
    ],
)
def test_a_changed_generator_remakes_all_and_changing_back_costs_nothing(ran, change, undo):
    before = tables(ran)
    ran.set(**change)
    n_pictures, n_features = made(ran)
    assert n_pictures == N_IMAGES * N_POSES
    assert n_features >= N_IMAGES  # at one step, another seed's picture may come out the same
    ran.set(**undo)
    assert made(ran) == (0, 0)
    assert tables(ran) == before


def test_a_changed_extractor_remakes_features_only(ran: Stages):
    before = tables(ran)
    ran.set(features__input={"height_px": 32, "width_px": 32})
    assert made(ran) == (0, N_IMAGES * (N_POSES + 1))
    ran.set(features__input={"height_px": 64, "width_px": 32})
    assert made(ran) == (0, 0)
    assert tables(ran) == before


def test_another_number_of_shards_finds_the_same_rows(ran: Stages):
    def rows() -> list[dict[str, object]]:
        found = [read_table(ran.root / "data" / "generated" / split) for split in FOLDERS]
        return sorted(
            (row for table in found for row in table.to_pylist()),
            key=lambda row: (row["image_id"], row["pose_id"]),
        )

    before = rows()
    ran.set(shards=4)
    assert made(ran) == (0, 0)
    assert rows() == before
