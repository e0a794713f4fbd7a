"""Every layout on a folder with its authors' names: labels, rejects with reasons, recognition."""

from __future__ import annotations

from typing import get_args

import pytest

from pose2id.datasets.base import Counts, Official
from pose2id.datasets.names import READER_OPTIONS, ReaderName
from pose2id.datasets.registry import LAYOUTS, READERS, make_reader, own_options, recognise
from pose2id.errors import DataError
from tests.conftest import ROOT
from tests.layouts import CASES, picture, write_case


@pytest.mark.parametrize("name", get_args(ReaderName))
def test_layout_is_recognised_and_read(tmp_path, name):
    case = CASES[name]
    write_case(tmp_path, case)
    layout, evidence = recognise(tmp_path)
    assert layout.name == name
    assert evidence
    found, labels = {}, {}
    for split in case.counts:
        listing = make_reader(name).read_split(tmp_path, split)
        counts = Counts.of(listing.records)
        cameras = {r.camid for r in listing.records if r.camid is not None}
        found[split] = (counts.images, counts.people, len(cameras))
        labels |= {r.image_id: (r.pid, r.camid) for r in listing.records}
        assert all(record.split == split for record in listing.records)
        assert all((tmp_path / record.path).is_file() for record in listing.records)
    assert found == case.counts
    assert case.labels.items() <= labels.items()


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].bad])
def test_what_does_not_fit_is_rejected_with_a_reason(tmp_path, name):
    case = CASES[name]
    write_case(tmp_path, case)
    path, split, reason = case.bad
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_bytes(picture(999))
    listing = make_reader(name).read_split(tmp_path, split)
    assert any(reason in reject.reason for reject in listing.rejects), listing.rejects
    assert Counts.of(listing.records).images == case.counts[split][0]


def test_params_and_registry_name_the_same_readers_and_options():
    assert set(get_args(ReaderName)) == set(READERS) == set(CASES)
    for name, layout in READERS.items():
        assert own_options(layout) == READER_OPTIONS.get(name, ())
    assert all(layout.title and layout.protocol for layout in LAYOUTS)


def test_splits_that_init_writes_have_a_query_and_a_gallery():
    for layout in LAYOUTS:
        if layout.splits:
            assert {layout.query, layout.gallery} <= set(layout.splits)
            assert set(layout.official) <= {*layout.splits, *layout.more_splits}


def test_options_choose_what_is_read(tmp_path):
    write_case(tmp_path / "msmt17", CASES["msmt17"])
    joined = make_reader("msmt17", join_val=True).read_split(tmp_path / "msmt17", "train")
    assert len(joined.records) == 2
    write_case(tmp_path / "sysu", CASES["sysu_mm01"])
    apart = make_reader("sysu_mm01", join_val=False).read_split(tmp_path / "sysu", "train")
    assert {record.pid for record in apart.records} == {1}
    write_case(tmp_path / "regdb", CASES["regdb"])
    thermal = make_reader("regdb", query_modality="thermal").read_split(tmp_path / "regdb", "query")
    assert [record.modality for record in thermal.records] == ["infrared"]
    with pytest.raises(DataError, match="test_visible_2"):
        make_reader("regdb", trial=2).read_split(tmp_path / "regdb", "query")
    write_case(tmp_path / "cuhk03", CASES["cuhk03"])
    boxes = make_reader("cuhk03", boxes="detected").read_split(tmp_path / "cuhk03", "query")
    assert boxes.records[0].path.startswith("detected/")


def test_cameras_in_the_names_of_people_in_folders(tmp_path):
    for name in ("a_c3.png", "cam12-1.png", "c1s2_x.png", "nothing.png"):
        (tmp_path / "query/1").mkdir(parents=True, exist_ok=True)
        (tmp_path / "query/1" / name).write_bytes(picture(0))
    listing = make_reader("person_folders", cameras="names").read_split(tmp_path, "query")
    assert {r.path.rpartition("/")[2]: r.camid for r in listing.records} == {
        "a_c3.png": 3,
        "cam12-1.png": 12,
        "c1s2_x.png": 1,
    }
    assert "no camera" in listing.rejects[0].reason


def test_people_in_folders_keep_their_id_in_every_split(tmp_path):
    for name in ("query/zoe/1.png", "gallery/ann/1.png", "gallery/zoe/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture(1))
    reader = make_reader("person_folders")
    assert [r.pid for r in reader.read_split(tmp_path, "query").records] == [1]
    assert [r.pid for r in reader.read_split(tmp_path, "gallery").records] == [0, 1]


def test_modalities_outfits_and_tracklets_are_read(tmp_path):
    def by_id(name, split):
        write_case(tmp_path / name, CASES[name])
        listing = make_reader(name).read_split(tmp_path / name, split)
        return {record.image_id: record for record in listing.records}

    assert by_id("sysu_mm01", "query")["query/cam6/0006/0001"].modality == "infrared"
    assert by_id("ltcc", "gallery")["gallery/094_2_c1_015834"].clothes_id == 2
    assert by_id("prcc", "query_same")["query_same/003/cropped_rgb001"].clothes_id == 0
    assert by_id("prcc", "query_changed")["query_changed/003/cropped_rgb001"].clothes_id == 1
    assert by_id("ccvid", "query")["query/session3/002_02/00001"].clothes_id == 1
    mars = by_id("mars", "query")
    assert {record.tracklet_id for record in mars.values()} == {"00002"}
    change = by_id("deepchange", "gallery")["gallery/P3_C05_b2_1"]
    assert (change.tracklet_id, change.group, change.clothes_id) == ("5", "5", 1)


def test_info_files_of_mars_that_do_not_fit_are_an_error(tmp_path):
    write_case(tmp_path, CASES["mars"])
    (tmp_path / "info/test_name.txt").write_text("0002C1T0001F001.jpg\n")
    with pytest.raises(DataError, match="do not belong together"):
        make_reader("mars").read_split(tmp_path, "gallery")
    (tmp_path / "info/query_IDX.mat").write_bytes(b"no matlab")
    with pytest.raises(DataError, match="query_IDX"):
        make_reader("mars").read_split(tmp_path, "query")


def test_published_counts_are_compared_and_either_of_two_is_accepted():
    official = Official((17_119, 17_138), (152,))
    assert official.check("train", Counts(17_138, 152, 0)) == []
    assert official.check("train", Counts(17_000, 151, 0)) == [
        "train: 17,119 or 17,138 images expected, 17,000 found",
        "train: 152 people expected, 151 found",
    ]


def test_a_shared_layout_is_counted_under_its_own_name_alone():
    reader = make_reader("market1501")
    assert reader.expected("train", "Market-1501").images == (12_936,)
    assert reader.expected("train", "demo") is None
    assert make_reader("ltcc").expected("train", "mine").people == (77,)


def test_the_documentation_lists_every_layout_with_its_counts_and_options():
    lines = (ROOT / "docs/datasets.md").read_text(encoding="utf-8").splitlines()
    rows = {line.split("`")[1]: line for line in lines if line.startswith("| `")}
    for name, layout in READERS.items():
        assert f"`{layout.protocol}`" in rows[name]
        assert all(f"`{option}`" in rows[name] for option in own_options(layout))
        for official in layout.official.values():
            numbers = (*official.images, *official.people, *official.tracklets)
            assert all(f"{number:,}" in rows[name] for number in numbers)


@pytest.mark.parametrize(
    ("name", "camid", "own"),
    [("market1501", 0, "1"), ("manifest", 0, "0"), ("prcc", 2, "C"), ("regdb", 1, "thermal")],
)
def test_cameras_have_the_names_that_the_dataset_gives_them(name, camid, own):
    assert READERS[name].camera_name(camid) == own
