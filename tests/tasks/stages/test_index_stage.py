"""The index stage: every file is an image, a reject with its reason, or no image."""

from __future__ import annotations

from pathlib import Path

import pytest

from pose2id.datasets.base import Official
from pose2id.datasets.market1501 import MarketReader
from pose2id.errors import QualityError
from tasks.gates.index import counts_suite
from tasks.gates.running import Gates
from tasks.stages import index
from tasks.tables.params import Params, parse_params
from tasks.tables.schema import Layout
from tasks.tables.store import read_table
from tests.layouts import picture

GOOD = [f"{pid:04d}_c{camera}s1_000001_00.jpg" for pid in (1, 2) for camera in (1, 2)]


def project(root: Path, *others: str, name: str = "mine") -> Params:
    """Four images and other files in the split `query`."""
    folder = root / "data/raw/query"
    folder.mkdir(parents=True)
    for number, file in enumerate([*GOOD, *others]):
        (folder / file).write_bytes(picture(number, ".jpg"))
    return parse_params(
        {
            "splits": ["query", "gallery"],
            "dataset": {
                **{"name": name, "reader": "market1501", "root": "data/raw"},
                **{"licence": "own", "status": "private"},
            },
            "variants": {"base": []},
            "score": {"query": "query", "gallery": "gallery"},
        }
    )


def run(params: Params, root: Path) -> tuple[str, ...]:
    (job,) = index.plan(params, root, "query")
    return index.run_shard(job).notes


def test_files_that_are_no_images_do_not_fail_the_stage(tmp_path):
    others = ["Thumbs.db", ".DS_Store", "._x.jpg", "a.json", "b.txt", "desktop.ini"]
    notes = run(project(tmp_path, *others), tmp_path)
    assert notes == ("0 rejected", "0 junk skipped", "6 files that are no images")
    rows = read_table(Layout(tmp_path).rejects("query")).to_pylist()
    assert [row["path"] for row in rows] == sorted(f"query/{name}" for name in others)
    assert {row["kind"] for row in rows} == {"not_image"}


def test_images_that_cannot_be_used_still_do(tmp_path):
    params = project(tmp_path, "portrait.jpg", "a.gif", "notes.txt")
    with pytest.raises(QualityError, match="2 of 6 files"):
        run(params, tmp_path)
    rows = read_table(Layout(tmp_path).rejects("query")).to_pylist()
    assert [row["kind"] for row in rows] == ["unusable", "unusable", "not_image"]


def test_numbers_unlike_the_published_ones_are_told_and_stop_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(MarketReader, "official", {"query": Official((6, 5), (2,))})
    params = project(tmp_path, name="market1501")
    assert run(params, tmp_path)[3:] == ("query: 6 or 5 images expected, 4 found",)
    suite = counts_suite(Layout(tmp_path), "query", params)
    found = {outcome.check.kwargs["column"]: outcome for outcome in Gates().run(suite)}
    assert (found["images"].success, found["people"].success) == (False, True)
    assert {outcome.check.severity for outcome in found.values()} == {"warn"}


def test_other_datasets_in_the_same_layout_are_not_counted(tmp_path):
    params = project(tmp_path)
    assert len(run(params, tmp_path)) == 3
    assert counts_suite(Layout(tmp_path), "query", params) is None


def test_corrections_change_labels_and_leave_images_out(tmp_path):
    params = project(tmp_path)
    layout = Layout(tmp_path)
    ids = [f"query/{Path(name).stem}" for name in GOOD]
    lines = ["image_id,action,pid", f"{ids[0]},relabel,9", f"{ids[1]},drop,"]
    layout.corrections.write_text("\n".join(lines))
    assert "1 relabelled and 1 dropped by corrections.csv" in run(params, tmp_path)
    rows = read_table(layout.index("query")).to_pylist()
    assert {row["image_id"]: row["pid"] for row in rows} == {ids[0]: 9, ids[2]: 2, ids[3]: 2}
    (dropped,) = read_table(layout.rejects("query")).to_pylist()
    assert (dropped["kind"], dropped["path"]) == ("dropped", f"query/{GOOD[1]}")


def test_many_images_are_inspected_by_processes_with_the_same_outcome(tmp_path, monkeypatch):
    params = project(tmp_path, "0003_c1s1_000001_00.jpg")
    (tmp_path / "data/raw/query/0003_c1s1_000001_00.jpg").write_bytes(b"no picture")
    monkeypatch.setattr(index, "_CHUNK", 2)
    written = []
    for least in (10_000, 1):
        monkeypatch.setattr(index, "_MIN_FOR_PROCESSES", least)
        with pytest.raises(QualityError, match="1 of 5 files"):
            run(params, tmp_path)
        layout = Layout(tmp_path)
        written.append([p.read_bytes() for p in (layout.index("query"), layout.rejects("query"))])
    assert written[0] == written[1]
