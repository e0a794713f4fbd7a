"""Dataset layouts: every file of a split is a record, junk, or a reject with its reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pose2id.datasets.registry import make_reader
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
    assert {n for n, r in reasons.items() if "suffix" in r} == {"0002_c1s1_000151_00.gif"}
    assert [item.path for item in listing.not_images] == ["query/.DS_Store", "query/Thumbs.db"]
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
    assert "dataset.follow_links" in reasons["0002_c1s1_000151_00.jpg"]
    assert "cannot be opened" in reasons["0004_c1s1_000151_00.jpg"]
    assert "cannot be opened" in reasons["0005_c1s1_000151_00.jpg"]


SIDECARS = ["desktop.ini", "._0001_c1s1_000151_00.jpg", "labels.json", "notes.txt", "x.jpg.json"]


def test_sidecars_and_system_files_are_no_rejects(tmp_path):
    root = _market(tmp_path, query=["0001_c1s1_000151_00.jpg", *SIDECARS])
    (root / "query/__MACOSX").mkdir()
    (root / "query/__MACOSX/._a.jpg").write_bytes(b"")
    listing = make_reader("market1501").read_split(root, "query")
    assert listing.rejects == ()
    assert {Path(item.path).name for item in listing.not_images} == {*SIDECARS, "__MACOSX"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("0001_c1s1_000151_00 (1).jpg", "second copy"),
        ("0001_c1s1_000151_00(2).jpg", "second copy"),
        ("0001_c1s1_000151_00 - Copy.jpg", "second copy"),
        ("0001_c0s1_000151_00.jpg", "has camera 0; this layout counts cameras from 1"),
        ("0001_c99999s1_000151_00.jpg", "camera is 99999; 0 to 32767 are allowed"),
        ("2147483648_c1s1_000151_00.jpg", "person id is 2147483648; -1 to 2147483647 are allowed"),
        ("inside/0001_c1s1_000151_00.jpg", "lies in a folder inside 'query'"),
    ],
)
def test_reasons_say_what_is_wrong_with_a_name(tmp_path, name, reason):
    (tmp_path / "query" / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "query" / name).write_bytes(b"readers do not look inside")
    listing = make_reader("market1501").read_split(tmp_path, "query")
    assert listing.records == ()
    assert reason in listing.rejects[0].reason


def test_a_ten_digit_id_that_fits_is_read(tmp_path):
    root = _market(tmp_path, query=["2147483647_c1s1_000151_00.jpg"])
    assert make_reader("market1501").read_split(root, "query").records[0].pid == 2147483647


def _cache_file(folder):
    path = folder / "files/md5/0a" / ("1b" * 15)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"kept by DVC")
    return path


def test_links_into_a_dvc_cache_are_followed(tmp_path):
    root = _market(tmp_path / "root", query=[])
    (root / "query/0001_c1s1_000151_00.jpg").symlink_to(_cache_file(tmp_path / "shared cache"))
    listing = make_reader("market1501").read_split(root, "query")
    assert [record.pid for record in listing.records] == [1]


def test_other_links_are_followed_where_that_is_allowed(tmp_path):
    blob = tmp_path / "blobs/abc.jpg"
    blob.parent.mkdir()
    blob.write_bytes(b"kept by a hub's cache")
    _market(tmp_path / "outside", query=["0002_c1s1_000151_00.jpg"])
    root = _market(tmp_path / "root", bounding_box_test=[])
    (root / "bounding_box_test/0001_c1s1_000151_00.jpg").symlink_to(blob)
    (root / "query").symlink_to(tmp_path / "outside/query")
    reader = make_reader("market1501", follow_links=True)
    assert [r.pid for r in reader.read_split(root, "gallery").records] == [1]
    assert [r.pid for r in reader.read_split(root, "query").records] == [2]
    with pytest.raises(DataError, match=r"dataset\.follow_links"):
        make_reader("market1501").read_split(root, "query")


def test_a_folder_that_links_to_itself_ends(tmp_path):
    root = _market(tmp_path, people=["a.jpg"])
    (root / "people/again").symlink_to(root / "people")
    listing = make_reader("folder").read_split(root, "people")
    assert [record.image_id for record in listing.records] == ["people/a"]
    assert "holds it" in listing.rejects[0].reason


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
    with pytest.raises(DataError, match=r"no split 'test'.*train, query, gallery"):
        make_reader("market1501").read_split(root, "test")


def test_folder_has_no_labels_and_no_cameras(tmp_path):
    root = _market(tmp_path, people=["b 1.JPG", "a.webp", "notes.txt"])
    listing = make_reader("folder").read_split(root, "people")
    assert [record.image_id for record in listing.records] == ["people/a", "people/b 1"]
    assert {(record.pid, record.camid) for record in listing.records} == {(None, None)}
    assert [item.path for item in listing.not_images] == ["people/notes.txt"]


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
        ("a.jpg,1.5,0", "pid is '1.5'"),
        (",1,0", "has no path"),
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
    assert [reject.path for reject in listing.rejects] == ["a.jpg"]
    assert "listed 2 times" in listing.rejects[0].reason


def test_one_bad_row_twice_is_one_reject(tmp_path):
    listing = _manifest(tmp_path, "path,pid\ngone.jpg,1\ngone.jpg,1\na.jpg,1\n")
    assert [reject.path for reject in listing.rejects] == ["gone.jpg"]


WRITTEN = {
    "pandas": ",path,pid,camid,clothes_id\n0,a.jpg,7.0,2.0,\n1,cam1/b.jpg,,nan,NaN\n",
    "excel": 'sep=;\n"Path";"PID";"CamID"\na.jpg;7;2\ncam1\\b.jpg;;\n;;\n',
    "german excel": "Path;Person ID;Cam-ID\na.jpg;7,0;2,0\ncam1/b.jpg;;\n",
    "tabs": "img_path\tperson_id\tcamera\tscore\n ./a.jpg \t 7 \t2\t.5\ncam1/b.jpg\t\t\t\n",
    "crlf": "PATH,PID,CAMID\r\na.jpg,7,2\r\ncam1/b.jpg,,\r\n",
    "truth": "path,pid,camid,distractor,modality\na.jpg,7,2,False,RGB\ncam1/b.jpg,,,TRUE,IR\n",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_manifest_as_other_programs_write_it(tmp_path, text, encoding):
    _manifest(tmp_path, "path\na.jpg\n")
    (tmp_path / "gallery.csv").write_bytes(text.encode(encoding))
    listing = make_reader("manifest").read_split(tmp_path, "gallery")
    assert listing.rejects == ()
    assert {r.path: (r.pid, r.camid) for r in listing.records} == {
        "a.jpg": (7, 2),
        "cam1/b.jpg": (None, None),
    }


def test_manifest_may_name_files_by_their_full_path(tmp_path):
    listing = _manifest(tmp_path, f"path,pid\n{tmp_path}/cam1/b.jpg,3\n")
    assert [record.path for record in listing.records] == ["cam1/b.jpg"]


def test_one_manifest_of_all_splits(tmp_path):
    _manifest(tmp_path, "path\n")
    (tmp_path / "gallery.csv").unlink()
    (tmp_path / "manifest.csv").write_text("path,split\na.jpg,query\ncam1/b.jpg,gallery\n")
    reader = make_reader("manifest")
    assert [r.image_id for r in reader.read_split(tmp_path, "query").records] == ["query/a"]
    with pytest.raises(DataError, match=r"no row whose split is 'train'.*gallery"):
        reader.read_split(tmp_path, "train")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("pid,camid\n1,0\n", "path is required"),
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
    with pytest.raises(DataError, match="not text in UTF-8 or UTF-16"):
        make_reader("manifest").read_split(tmp_path, "query")
    (tmp_path / "query.csv").write_bytes("path\nä.jpg\n".encode("latin-1"))
    with pytest.raises(DataError, match="CSV UTF-8"):
        make_reader("manifest").read_split(tmp_path, "query")
    (tmp_path / "query.csv").write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(DataError, match="Excel workbook"):
        make_reader("manifest").read_split(tmp_path, "query")


def test_registry_names_what_exists():
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
