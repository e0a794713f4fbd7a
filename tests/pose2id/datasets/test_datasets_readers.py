"""Dataset layouts: every file of a split is a record, junk, or a reject with its reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pose2id.datasets.registry import READERS, make_reader
from pose2id.errors import DataError, ParamsError

CUHK03 = Path(__file__).parents[4] / "shared/data/cuhk03-100"


def _market(root, **folders):
    for folder, names in folders.items():
        (root / folder).mkdir(parents=True)
        for name in names:
            (root / folder / name).write_bytes(b"readers do not look inside")
    return root


def _reasons(listing):
    return {Path(reject.path).name: reject.reason for reject in listing.rejects}


def test_market_names_become_labels(tmp_path):
    root = _market(
        tmp_path,
        bounding_box_test=[
            "0003_c6s2_000451_03.jpg",
            "0002_c1s1_000451_03.jpg",
            "0000_c1s1_000001_00.jpg",
            "-1_c2s1_000002_00.jpg",
            "0007_c12_f0046182.png",
        ],
    )
    listing = make_reader("market1501").read_split(root, "gallery")
    assert [record.image_id for record in listing.records] == [
        "gallery/0000_c1s1_000001_00",
        "gallery/0002_c1s1_000451_03",
        "gallery/0003_c6s2_000451_03",
        "gallery/0007_c12_f0046182",
    ]
    distractor, second, third, short = listing.records
    assert (distractor.pid, distractor.distractor) == (0, True)
    assert (second.pid, second.camid, second.distractor) == (2, 0, False)
    assert third.path == "bounding_box_test/0003_c6s2_000451_03.jpg"
    assert (third.pid, third.camid, third.split, third.modality) == (3, 5, "gallery", "visible")
    assert (short.pid, short.camid) == (7, 11)
    assert listing.n_junk == 1
    assert listing.rejects == ()


def test_pid_0_can_be_a_person(tmp_path):
    names = ["0000_c1s1_000001_00.jpg", "0001_c1s1_000001_00.jpg"]
    root = _market(tmp_path, query=names, bounding_box_test=names)
    person = make_reader("market1501", distractor_pids=())
    assert [r.distractor for r in person.read_split(root, "gallery").records] == [False, False]
    assert len(person.read_split(root, "query").records) == 2


def test_distractor_among_the_queries_is_rejected_with_advice(tmp_path):
    root = _market(tmp_path, query=["0000_c1s1_000001_00.jpg", "0001_c1s1_000001_00.jpg"])
    listing = make_reader("market1501").read_split(root, "query")
    assert [record.pid for record in listing.records] == [1]
    assert "distractor_pids" in _reasons(listing)["0000_c1s1_000001_00.jpg"]


def test_junk_that_is_not_declared_is_rejected(tmp_path):
    root = _market(tmp_path, query=["-1_c1s1_000001_00.jpg"])
    listing = make_reader("market1501", junk_pids=()).read_split(root, "query")
    assert "junk" in _reasons(listing)["-1_c1s1_000001_00.jpg"]
    assert (listing.records, listing.n_junk) == ((), 0)


@pytest.mark.parametrize(
    "name",
    [
        "portrait.jpg",
        "0001_000151_00.jpg",
        "0001_c0s1_000151_00.jpg",
        "c1s1_000151_00.jpg",
        "0001-c1s1-000151.jpg",
        "-2_c1s1_000151_00.jpg",
        "\u0661_c1s1_000151_00.jpg",
        "99999999999_c1s1_000151_00.jpg",
        "0001_c99999s1_000151_00.jpg",
    ],
)
def test_misnamed_file_is_rejected(tmp_path, name):
    listing = make_reader("market1501").read_split(_market(tmp_path, query=[name]), "query")
    assert listing.records == ()
    assert list(_reasons(listing)) == [name]


def test_files_that_are_no_images_are_rejected(tmp_path):
    good = "0001_c1s1_000151_00.jpg"
    root = _market(tmp_path, query=[good, "Thumbs.db", ".DS_Store", "0002_c1s1_000151_00.gif"])
    (root / "query/0003_c1s1_000151_00.jpg").mkdir()
    os.mkfifo(root / "query/0004_c1s1_000151_00.jpg")
    listing = make_reader("market1501").read_split(root, "query")
    assert [record.path for record in listing.records] == [f"query/{good}"]
    reasons = _reasons(listing)
    assert {n for n, r in reasons.items() if "suffix" in r} == {
        "Thumbs.db",
        ".DS_Store",
        "0002_c1s1_000151_00.gif",
    }
    assert reasons["0003_c1s1_000151_00.jpg"] == "is not a regular file"
    assert reasons["0004_c1s1_000151_00.jpg"] == "is not a regular file"


def test_links_may_not_leave_the_root(tmp_path):
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(b"secret")
    root = _market(tmp_path / "root", query=["0001_c1s1_000151_00.jpg"])
    query = root / "query"
    (query / "0002_c1s1_000151_00.jpg").symlink_to(outside)
    (query / "0003_c1s1_000151_00.jpg").symlink_to("0001_c1s1_000151_00.jpg")
    (query / "0004_c1s1_000151_00.jpg").symlink_to("0004_c1s1_000151_00.jpg")
    (query / "0005_c1s1_000151_00.jpg").symlink_to("gone.jpg")
    listing = make_reader("market1501").read_split(root, "query")
    assert [record.pid for record in listing.records] == [1, 3]
    reasons = _reasons(listing)
    assert "outside the dataset's root" in reasons["0002_c1s1_000151_00.jpg"]
    assert "cannot be opened" in reasons["0004_c1s1_000151_00.jpg"]
    assert "cannot be opened" in reasons["0005_c1s1_000151_00.jpg"]


def test_split_folder_may_not_leave_the_root(tmp_path):
    _market(tmp_path / "outside", query=["0001_c1s1_000151_00.jpg"])
    (tmp_path / "root").mkdir()
    (tmp_path / "root/query").symlink_to(tmp_path / "outside/query")
    with pytest.raises(DataError, match="leaves the dataset's root"):
        make_reader("market1501").read_split(tmp_path / "root", "query")


def test_root_itself_may_be_a_link(tmp_path):
    _market(tmp_path / "data", query=["0001_c1s1_000151_00.jpg"])
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert len(make_reader("market1501").read_split(tmp_path / "link", "query").records) == 1


@pytest.mark.parametrize("bad", ["a\nb", "a\x1bb", "a\u202eb", os.fsdecode(b"a\xff")])
def test_unprintable_names_are_rejected_escaped(tmp_path, bad):
    root = _market(tmp_path, query=[f"0001_c1s1_{bad}.jpg"])
    listing = make_reader("market1501").read_split(root, "query")
    assert listing.records == ()
    (reject,) = listing.rejects
    assert reject.path.isprintable()
    reject.path.encode("ascii")
    assert "cannot be printed" in reject.reason


def test_twins_are_all_rejected_naming_each_other(tmp_path):
    twins = ["0001_c1s1_000151_00.jpg", "0001_c1s1_000151_00.png"]
    root = _market(tmp_path, query=[*twins, "0002_c1s1_000151_00.jpg"])
    listing = make_reader("market1501").read_split(root, "query")
    assert [record.pid for record in listing.records] == [2]
    assert twins[1] in _reasons(listing)[twins[0]]
    assert twins[0] in _reasons(listing)[twins[1]]


def test_missing_folder_says_what_is_there(tmp_path):
    root = _market(tmp_path, bounding_box_train=[], query=[])
    with pytest.raises(
        DataError, match=r"no folder 'bounding_box_test'.*bounding_box_train, query"
    ):
        make_reader("market1501").read_split(root, "gallery")
    with pytest.raises(DataError, match=r"dataset\.root"):
        make_reader("market1501").read_split(tmp_path / "nowhere", "gallery")
    with pytest.raises(DataError, match=r"no split 'test'.*'train', 'query', 'gallery'"):
        make_reader("market1501").read_split(root, "test")


def test_folder_has_no_labels_and_no_cameras(tmp_path):
    root = _market(tmp_path, people=["b 1.JPG", "a.webp", "notes.txt"])
    listing = make_reader("folder").read_split(root, "people")
    assert [record.image_id for record in listing.records] == ["people/a", "people/b 1"]
    assert {(record.pid, record.camid) for record in listing.records} == {(None, None)}
    assert list(_reasons(listing)) == ["notes.txt"]


@pytest.mark.parametrize("split", ["..", "a/b", "", ".hidden", "a\n"])
@pytest.mark.parametrize("reader", ["folder", "manifest"])
def test_split_names_stay_inside_the_root(tmp_path, reader, split):
    with pytest.raises(DataError, match="not a split's name"):
        make_reader(reader).read_split(tmp_path, split)


def _manifest(root, text, pictures=("a.jpg", "cam1/b.jpg", "cam2/b.jpg")):
    for picture in pictures:
        (root / picture).parent.mkdir(parents=True, exist_ok=True)
        (root / picture).write_bytes(b"readers do not look inside")
    (root / "gallery.csv").write_text(text, encoding="utf-8")
    return make_reader("manifest").read_split(root, "gallery")


def test_manifest_carries_every_label(tmp_path):
    listing = _manifest(
        tmp_path,
        "\ufeffpath,pid,camid,modality,clothes_id,distractor\n"
        "cam2/b.jpg,7,3,infrared,2,0\n"
        "cam1/b.jpg,,,,,\n"
        "a.jpg,0,1,visible,,1\n",
    )
    first, second, third = listing.records
    assert [r.image_id for r in listing.records] == [
        "gallery/a",
        "gallery/cam1/b",
        "gallery/cam2/b",
    ]
    assert (first.pid, first.camid, first.distractor) == (0, 1, True)
    assert (second.pid, second.camid, second.modality, second.clothes_id) == (
        None,
        None,
        "visible",
        None,
    )
    assert (third.pid, third.camid, third.modality, third.clothes_id) == (7, 3, "infrared", 2)


def test_manifest_needs_only_paths(tmp_path):
    listing = _manifest(tmp_path, "path\na.jpg\n")
    assert [(r.pid, r.camid) for r in listing.records] == [(None, None)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("gone.jpg,1,0", "cannot be opened"),
        ("../a.jpg,1,0", "without '..'"),
        ("/etc/a.jpg,1,0", "relative"),
        ("a.txt,1,0", "suffix"),
        ("a.jpg,one,0", "pid is 'one'"),
        ("a.jpg,1,-1", "camid is -1"),
        ("a.jpg,1,40000", "camid is 40000"),
        ("a.jpg,1,0,extra", "more cells"),
        (",1,0", "suffix"),
        ('"a\n.jpg",1,0', "cannot be printed"),
    ],
)
def test_manifest_rejects_a_bad_row_with_its_line(tmp_path, row, reason):
    listing = _manifest(tmp_path, f"path,pid,camid\ncam1/b.jpg,2,0\n{row}\n")
    assert [record.pid for record in listing.records] == [2]
    (reject,) = listing.rejects
    assert reason in reject.reason
    assert "line " in reject.reason
    assert reject.path.isprintable()


def test_manifest_lists_a_picture_once_and_counts_junk(tmp_path):
    listing = _manifest(tmp_path, "path,pid\na.jpg,1\na.jpg,2\ncam1/b.jpg,-1\n")
    assert (listing.records, listing.n_junk) == ((), 1)
    assert len(listing.rejects) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("pid,camid\n1,0\n", "path is required"),
        ("path,person\na.jpg,1\n", "person"),
        ("path,pid,pid\na.jpg,1,1\n", "each once"),
        ("", "path is required"),
        ('path\n"a.jpg\n', "not a CSV"),
    ],
)
def test_unreadable_manifest_is_an_error(tmp_path, text, reason):
    with pytest.raises(DataError, match=reason):
        _manifest(tmp_path, text)


def test_manifest_that_is_missing_or_not_text_is_an_error(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        make_reader("manifest").read_split(tmp_path, "query")
    (tmp_path / "query.csv").write_bytes(b"path\n\xff\xfe\n")
    with pytest.raises(DataError, match="UTF-8"):
        make_reader("manifest").read_split(tmp_path, "query")


def test_registry_names_what_exists():
    assert set(READERS) == {"market1501", "folder", "manifest"}
    with pytest.raises(ParamsError, match="market1501"):
        make_reader("market")
    with pytest.raises(ParamsError, match=r"no option.*camera"):
        make_reader("market1501", camera=1)


@pytest.mark.skipif(not CUHK03.is_dir(), reason="the real images are not here (../shared)")
def test_real_dataset_is_read_completely():
    reader = make_reader("market1501", distractor_pids=())
    sizes = {}
    for split in ("train", "query", "gallery"):
        listing = reader.read_split(CUHK03, split)
        assert listing.rejects == ()
        sizes[split] = (len(listing.records), len({record.pid for record in listing.records}))
        assert {record.camid for record in listing.records} == {0, 1}
    assert sizes == {"train": (964, 100), "query": (200, 100), "gallery": (769, 100)}
