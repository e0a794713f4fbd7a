"""What was pulled is taken over by any kind of machine; what was dropped here stays dropped."""

from __future__ import annotations

import shutil

import pytest

from tasks.tables.cache import forget
from tasks.tables.schema import Layout
from tasks.tables.store import read_table
from tests.flows.conftest import Stages, keep_as_dvc_does

CHAIN = ("generate", "features")
IMAGE = "gallery/0001_c2s1_000001_00"


@pytest.fixture
def pulled(stages: Stages, monkeypatch: pytest.MonkeyPatch) -> Stages:
    """Pictures and features that another kind of machine has made, as after `dvc pull`."""
    stages.stage("index", "gallery")
    stages.stage("poses")
    for name in CHAIN:
        monkeypatch.setattr(
            f"tasks.stages.{name}.machine_kind", lambda device, library: "elsewhere"
        )
        stages.stage(name, "gallery")
    keep_as_dvc_does(stages, ["gallery"])
    shutil.rmtree(stages.root / ".cache")
    for name in CHAIN:
        monkeypatch.setattr(f"tasks.stages.{name}.machine_kind", lambda device, library: "here")
    return stages


def rows(project: Stages) -> dict[tuple[str, str, int], object]:
    return {
        (folder, row["image_id"], row["pose_id"]): row.get("image", row.get("feature"))
        for folder in ("generated", "features")
        for row in read_table(project.root / "data" / folder / "gallery").to_pylist()
    }


def run(project: Stages) -> list[int]:
    made = []
    for name, folder in zip(CHAIN, ("generated", "features"), strict=True):
        shutil.rmtree(project.root / "data" / folder / "gallery")  # as DVC does
        made.append(project.stage(name, "gallery")["made"])
    return made


def test_a_new_image_costs_itself_after_a_pull(pulled: Stages) -> None:
    before = rows(pulled)
    pulled.add_image("gallery", "0004_c1s1_000001_00.png")
    pulled.stage("index", "gallery")
    assert run(pulled) == [2, 3]
    after = rows(pulled)
    assert {key: after[key] for key in before} == before
    assert len(after) == len(before) + 5
    pulled.set(generate__seed=7)
    assert run(pulled) == [8, 8]  # nothing of the kind was pulled; features of originals were
    pulled.set(generate__seed=12580)
    assert run(pulled) == [0, 0]
    assert rows(pulled) == after


def test_without_a_pull_rows_of_another_kind_of_machine_are_not_taken(pulled: Stages) -> None:
    (pulled.root / "dvc.lock").unlink()
    assert run(pulled) == [6, 9]


def test_a_second_networks_features_do_not_hide_the_first_ones(pulled: Stages) -> None:
    first = pulled.root / "data" / "features" / "gallery"
    shutil.copytree(first, first / "second")
    keep_as_dvc_does(pulled, ["gallery"])
    assert run(pulled) == [0, 0]


def test_rows_that_were_dropped_here_do_not_come_back(pulled: Stages) -> None:
    assert run(pulled) == [0, 0]
    assert forget(Layout(pulled.root), IMAGE) == 5
    assert run(pulled) == [2, 3]
