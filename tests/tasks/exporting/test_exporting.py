import csv
import dataclasses
import io
import json
import os
import stat
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pose2id.errors import DataError, ParamsError
from tasks.exporting import webdataset as webdataset_format
from tasks.exporting.run import Request, export
from tasks.exporting.source import SplitPictures, safe_stem
from tasks.tables import schema
from tasks.tables.schema import Layout
from tasks.tables.store import read_table, write_table
from tests.marks import read_mark
from tests.tasks.factory import Spec, params_of, write_project

SPEC = Spec(identities=3, gallery_per_identity=2, distractors=1, poses=3)
SPLITS = ("query", "gallery", "train")


def add_train_split(layout):
    """The gallery's tables once more, under the name of the training split."""
    for path_of in (layout.index, layout.quality):
        _copy_renamed(path_of("gallery"), path_of("train"))
    for part in sorted(layout.generated("gallery").glob("*.parquet")):
        _copy_renamed(part, layout.generated("train") / part.name)


def _copy_renamed(source, target):
    table = read_table(source)
    ids = [i.replace("gallery/", "train/", 1) for i in table.column("image_id").to_pylist()]
    at = table.schema.get_field_index("image_id")
    table = table.set_column(at, table.schema.field(at), pa.array(ids))
    if "split" in table.schema.names:
        at = table.schema.get_field_index("split")
        table = table.set_column(at, table.schema.field(at), pa.array(["train"] * len(ids)))
    write_table(target, table, producer="a" * 64)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("exporting")
    write_project(root, SPEC)
    layout = Layout(root)
    add_train_split(layout)
    return layout, params_of(SPEC, splits=list(SPLITS))


def run(project, target, file_format, **options):
    layout, params = project
    overwrite = options.pop("overwrite", False)
    request = Request(file_format, options.pop("splits", SPLITS), **options)
    return export(layout, params, request, target, overwrite=overwrite)


def test_the_authors_folders_hold_every_pose_of_every_image_under_its_own_name(project, tmp_path):
    counts = run(project, tmp_path / "out", "folders")
    assert counts == {"query": 9, "gallery": 21, "train": 21}
    layout, _ = project
    for split, folder in [
        ("query", "query_gen"),
        ("gallery", "bounding_box_test_gen"),
        ("train", "bounding_box_train_gen"),
    ]:
        stems = [i.split("/")[1] for i in read_table(layout.index(split))["image_id"].to_pylist()]
        expected = {f"pose{pose}/{stem}.jpg" for pose in (1, 2, 3) for stem in stems}
        found = tmp_path / "out" / folder
        assert {p.relative_to(found).as_posix() for p in found.rglob("*.jpg")} == expected


def test_folders_hold_jpegs_of_the_stored_size_that_say_they_are_synthetic(project, tmp_path):
    run(project, tmp_path / "out", "folders", splits=("query",))
    path = sorted((tmp_path / "out/query_gen/pose2").glob("*.jpg"))[0]
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("JPEG", (32, 64))
    mark = read_mark(path.read_bytes())
    assert mark["synthetic"] is True
    assert mark["source_image_id"] == f"query/{path.stem}"
    assert (mark["pose_id"], mark["generator"]) == (2, "a" * 64)


def test_training_labels_number_the_persons_and_leave_distractors_out(project, tmp_path):
    run(project, tmp_path / "out", "folders", splits=("train",))
    folder = tmp_path / "out/bounding_box_train_gen"
    rows = list(csv.DictReader((folder / "labels.csv").open()))
    assert len(rows) == 21
    assert {(row["pid"], row["label"]) for row in rows} == {
        *(("0", ""), ("1", "0"), ("2", "1"), ("3", "2")),
    }
    assert all((folder / row["file"]).is_file() for row in rows)


def test_hugging_face_datasets_loads_every_split(project, tmp_path):
    datasets = pytest.importorskip("datasets", reason="the datasets package is not installed")
    run(project, tmp_path / "out", "hf")
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in loaded.items()} == {
        "query": 9,
        "gallery": 21,
        "train": 21,
    }
    assert isinstance(loaded["train"].features["image"], datasets.Image)
    row = next(row for row in loaded["train"] if row["pid"] == 2)
    assert row["image"].size == (32, 64)
    assert (row["label"], row["synthetic"]) == (1, True)
    raw = loaded["train"].cast_column("image", datasets.Image(decode=False))[0]
    assert read_mark(raw["image"]["bytes"])["source_image_id"] == raw["image_id"]


def test_the_hugging_face_card_names_licence_and_splits(project, tmp_path):
    run(project, tmp_path / "out", "hf")
    card = (tmp_path / "out/README.md").read_text()
    assert card.startswith("---\n")
    assert "license: cc0-1.0" in card
    assert "path: data/train-*.parquet" in card
    assert "**generated**" in card


def test_webdataset_reads_pictures_labels_and_facts(project, tmp_path):
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    run(project, tmp_path / "out", "webdataset", splits=("train",))
    urls = str(tmp_path / "out/train-000000.tar")
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("pil"))
    assert len(samples) == 21
    person = next(sample for sample in samples if sample["json"]["pid"] == 3)
    assert person["cls"] == 2
    assert person["png"].size == (32, 64)
    distractor = next(sample for sample in samples if sample["json"]["distractor"])
    assert "cls" not in distractor


def test_tar_files_are_cut_at_their_size_and_hold_nothing_of_the_machine(project, tmp_path):
    layout, _ = project
    pictures = SplitPictures(layout, "query")
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        webdataset_format.write(folder, pictures, lambda n: None, samples_per_tar=4)
    names = [f"query-{number:06d}.tar" for number in range(3)]
    assert sorted(path.name for path in folders[0].iterdir()) == names
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    with tarfile.open(folders[0] / names[0]) as tar:
        members = tar.getmembers()
    assert len(members) == 4 * 3
    assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in members} == {(0, 0, 0, "", 0o644)}


def test_fiftyone_layout_names_a_file_and_the_person_for_every_picture(project, tmp_path):
    run(project, tmp_path / "out", "fiftyone", splits=("train",))
    folder = tmp_path / "out/train"
    labels = json.loads((folder / "labels.json").read_text())["labels"]
    assert {path.stem for path in (folder / "data").iterdir()} == set(labels)
    assert {entry["label"] for entry in labels.values()} == {"0", "1", "2", "3"}
    assert all(entry["attributes"]["synthetic"] is True for entry in labels.values())


def test_fiftyones_own_importer_reads_the_layout(project, tmp_path):
    importers = pytest.importorskip(
        "fiftyone.utils.data.importers", reason="fiftyone is not installed"
    )
    run(project, tmp_path / "out", "fiftyone", splits=("train",))
    importer = importers.FiftyOneImageClassificationDatasetImporter(str(tmp_path / "out/train"))
    importer.setup()
    samples = {path: label for path, _, label in importer}
    assert len(samples) == 21
    path, label = next((p, found) for p, found in samples.items() if found.label == "2")
    assert label["pose_id"] in (1, 2, 3)
    with Image.open(path) as picture:
        assert picture.size == (32, 64)


@pytest.mark.parametrize("features", ["raw", "base", "ipg_nfc"])
def test_npy_features_are_those_of_the_tables_in_the_order_of_the_ids(project, tmp_path, features):
    layout, _ = project
    splits = ("query", "gallery")
    counts = run(project, tmp_path / "out", "npy", splits=splits, features=features)
    rows = np.load(tmp_path / "out/query.npy", allow_pickle=False)
    ids = json.loads((tmp_path / "out/query.json").read_text())
    assert counts["query"] == len(rows) == len(ids["image_id"]) == (12 if features == "raw" else 3)
    assert rows.dtype == np.float32
    if features == "raw":
        expected = {
            (row["image_id"], row["pose_id"]): row["feature"]
            for row in read_table(layout.features("query")).to_pylist()
        }
        keys = list(zip(ids["image_id"], ids["pose_id"], strict=True))
        assert keys == sorted(expected)
    else:
        table = read_table(layout.centralized("query") / f"{features}.parquet")
        expected = {row["image_id"]: row["feature"] for row in table.to_pylist()}
        keys = ids["image_id"]
    np.testing.assert_array_equal(rows, np.array([expected[key] for key in keys], np.float32))
    assert ids["pid"] == [int(i.split("/")[1][:5]) for i in ids["image_id"]]


def test_pt_features_load_without_unpickling(project, tmp_path):
    import torch

    run(project, tmp_path / "out", "pt", splits=("query",))
    loaded = torch.load(tmp_path / "out/query.pt", weights_only=True)
    assert loaded["features"].shape == (3, SPEC.dim)
    assert loaded["image_id"] == sorted(loaded["image_id"])
    assert loaded["pid"] == [1, 2, 3]


def test_only_accepted_pictures_leave_when_asked(project, tmp_path):
    layout, _ = project
    verdicts = read_table(layout.quality("gallery")).to_pylist()
    rejected = sum(not row["accepted"] for row in verdicts)
    counts = run(project, tmp_path / "out", "hf", splits=("gallery",), accepted_only=True)
    assert rejected > 0
    assert counts["gallery"] == 21 - rejected
    table = pq.read_table(tmp_path / "out/data/gallery-00000.parquet")
    assert all(table.column("accepted").to_pylist())


def test_hostile_image_ids_stay_inside_the_folder_and_apart(tmp_path):
    spec = Spec(identities=2, gallery_per_identity=2, distractors=0, poses=2, hostile_names=True)
    params = write_project(tmp_path, spec)
    request = Request("folders", ("gallery",))
    export(Layout(tmp_path), params, request, tmp_path / "out")
    names = [path.name for path in (tmp_path / "out").rglob("*.jpg")]
    assert len(names) == 8
    assert not set("".join(names)) & set("<>'\"&{}:*/\\ ")


@pytest.mark.parametrize("name", ["../../up", "/etc/passwd", "..", ".hidden", "a/b", "CON", "x\0y"])
def test_no_file_name_leaves_its_folder(name):
    stem = safe_stem(f"query/{name}", "query")
    assert "/" not in stem
    assert not stem.startswith(".")
    assert stem.isprintable()


def test_ids_that_look_alike_after_cleaning_get_different_names():
    ids = ["a b", "a?b", "a_b", "a.b"]
    assert len({safe_stem(f"query/{i}", "query", dots=False) for i in ids}) == 4


def test_a_dataset_without_labels_leaves_without_labels(tmp_path):
    spec = Spec(identities=2, gallery_per_identity=1, distractors=0, poses=1, labels=False)
    params = write_project(tmp_path, spec)
    export(Layout(tmp_path), params, Request("fiftyone", ("query",)), tmp_path / "out")
    labels = json.loads((tmp_path / "out/query/labels.json").read_text())["labels"]
    assert {entry["label"] for entry in labels.values()} == {"unlabelled"}


def test_a_folder_that_is_no_export_is_never_replaced(project, tmp_path):
    target = tmp_path / "thesis"
    target.mkdir()
    (target / "chapter.tex").write_text("years of work")
    with pytest.raises(DataError, match="holds no earlier export"):
        run(project, target, "npy", splits=("query",), overwrite=True)
    assert (target / "chapter.tex").read_text() == "years of work"


def test_an_earlier_export_is_replaced_only_when_asked(project, tmp_path):
    run(project, tmp_path / "out", "npy", splits=("query", "gallery"))
    with pytest.raises(DataError, match="--overwrite"):
        run(project, tmp_path / "out", "npy", splits=("query",))
    run(project, tmp_path / "out", "npy", splits=("query",), overwrite=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "export.json",
        "query.json",
        "query.npy",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failed_export_leaves_nothing_behind(tmp_path):
    params = write_project(tmp_path, SPEC)
    layout = Layout(tmp_path)
    empty = schema.QUALITY.empty_table()
    write_table(layout.quality("gallery"), empty, producer="q")
    (tmp_path / "exports").mkdir()
    with pytest.raises(DataError, match="not in the quality table"):
        export(layout, params, Request("hf", ("query", "gallery")), tmp_path / "exports/hf")
    assert list((tmp_path / "exports").iterdir()) == []


def test_the_manifest_says_what_was_exported(project, tmp_path):
    run(project, tmp_path / "out", "webdataset", splits=("query",))
    assert json.loads((tmp_path / "out/export.json").read_text()) == {
        "accepted_only": False,
        "counts": {"query": 9},
        "dataset": "tiny",
        "format": "webdataset",
        "files": ["query-000000.tar", "export.json"],
        "generators": ["a" * 64],
        "licence": "CC0-1.0",
        "status": "open",
        "synthetic": True,
    }


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request("zip", ("query",)), "--format is 'zip'; it can be folders, hf"),
        (Request("hf", ("test",)), "--split is 'test'; it can be query, gallery, train"),
        (Request("npy", ("query",), features="best"), "--features is 'best'; it can be raw"),
    ],
)
def test_a_request_for_what_there_is_not_names_what_there_is(project, tmp_path, request_, message):
    layout, params = project
    with pytest.raises(ParamsError, match=message):
        export(layout, params, request_, tmp_path / "out")


def test_stored_pictures_leave_pixel_for_pixel(project, tmp_path):
    layout, _ = project
    run(project, tmp_path / "out", "webdataset", splits=("query",))
    stored = {
        (row["image_id"], row["pose_id"]): row["image"]
        for row in read_table(layout.generated("query")).to_pylist()
    }
    with tarfile.open(tmp_path / "out/query-000000.tar") as tar:
        contents = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}
    facts = {name: json.loads(data) for name, data in contents.items() if name.endswith(".json")}
    assert len(facts) == 9
    for name, fact in facts.items():
        left = Image.open(io.BytesIO(contents[name.replace(".json", ".png")]))
        right = Image.open(io.BytesIO(stored[fact["image_id"], fact["pose_id"]]))
        np.testing.assert_array_equal(np.asarray(left), np.asarray(right))


def test_replacing_an_export_deletes_only_what_it_wrote(project, tmp_path, caplog):
    target = tmp_path / "out"
    run(project, target, "folders")
    (target / "notes.txt").write_text("mine")
    (target / "query_gen/pose1/mine.jpg").write_bytes(b"mine")
    (target / "mine/deep").mkdir(parents=True)
    (target / "link").symlink_to(tmp_path)
    listed = json.loads((target / "export.json").read_text())["files"]
    assert "query_gen/labels.csv" in listed
    run(project, target, "npy", splits=("query", "gallery"), overwrite=True)
    kept = {p.relative_to(target).as_posix() for p in target.rglob("*") if "link/" not in str(p)}
    assert {"notes.txt", "query_gen/pose1/mine.jpg", "mine/deep", "link", "query.npy"} <= kept
    assert "query_gen/labels.csv" not in kept
    assert "kept in" in caplog.text
    assert "notes.txt, query_gen/pose1/mine.jpg" in caplog.text
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    run(project, target, "npy", splits=("query", "gallery"), overwrite=True)
    assert (target / "query_gen/pose1/mine.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "{}",
        "[]",
        '{"files": 3}',
        '{"files": []}',
        "[" * 100_000,
        '{"files": ["../../x", "/x"]}',
    ],
    ids=lambda text: text[:20] or "empty",
)
def test_a_folder_with_somebody_elses_manifest_is_never_touched(project, tmp_path, manifest):
    target = tmp_path / "out"
    target.mkdir()
    (target / "export.json").write_text(manifest)
    (target / "thesis.tex").write_text("mine")
    with pytest.raises(DataError, match="--out"):
        run(project, target, "npy", splits=("query",), overwrite=True)
    assert (target / "thesis.tex").read_text() == "mine"
    assert (target / "export.json").read_text() == manifest


def test_a_manifest_cannot_name_files_elsewhere(project, tmp_path):
    target = tmp_path / "out"
    run(project, target, "npy", splits=("query",))
    facts = json.loads((target / "export.json").read_text())
    facts["files"] += ["../precious", str(tmp_path / "precious"), "a\0b", 3, "."]
    (target / "export.json").write_text(json.dumps(facts))
    (tmp_path / "precious").write_text("mine")
    run(project, target, "npy", splits=("query",), overwrite=True)
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_foreign_file_in_the_way_is_named(project, tmp_path):
    target = tmp_path / "out"
    run(project, target, "npy", splits=("query",))
    (target / "query.pt").write_text("mine")
    with pytest.raises(DataError, match=r"query\.pt was not written by the earlier export"):
        run(project, target, "pt", splits=("query",), overwrite=True)
    assert (target / "query.pt").read_text() == "mine"
    assert (target / "query.npy").is_file()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["file/below", "n" * 300, "nul\0", "/proc/x/y", "loop/x"])
def test_an_impossible_target_is_one_line(project, tmp_path, name):
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DataError, match="--out"):
        run(project, tmp_path / name, "npy", splits=("query",))


def test_names_of_any_length_go_into_a_webdataset(project, tmp_path):
    layout, _ = project
    pictures = SplitPictures(layout, "query")
    first = next(iter(pictures))
    long = f"query/{'0001_c1s1_' * 20}"
    source = first.source | {"image_id": long}
    picture = dataclasses.replace(first, image_id=long, source=source)
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        webdataset_format._add_sample(tar, picture)
    with tarfile.open(path) as tar:
        names = tar.getnames()
    assert {name.partition(".")[0] for name in names} == {picture.flat_name}
    assert len(picture.flat_name) > 100


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_exports_have_the_rights_that_the_umask_leaves(project, tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        run(project, tmp_path / "out", "hf")
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {mode}
    folders = [tmp_path / "out", *(p for p in (tmp_path / "out").rglob("*") if p.is_dir())]
    assert {stat.S_IMODE(p.stat().st_mode) for p in folders} == {0o777 & ~umask}
