"""`pose2id init`: a folder of every layout, params.yaml with its comments, and the index of it."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.io import savemat
from typer.testing import CliRunner

from flows.cli.main import app
from pose2id.datasets.names import RETRACTED_READERS
from pose2id.datasets.registry import READERS
from tasks.gates.index import counts_suite
from tasks.stages import index
from tasks.tables.params import Params, load_params
from tasks.tables.schema import Layout
from tasks.tables.store import read_table
from tests.conftest import ROOT
from tests.layouts import CASES, picture, write_case


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the params file that ships."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(ROOT / "params.yaml", folder)
    return folder


def init(project: Path, folder: Path, *options: str, fails: bool = False) -> str:
    arguments = ["init", str(folder), "--params", str(project / "params.yaml"), *options]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code != 0) == fails, result.output
    return result.output


def allow_retracted(project: Path) -> None:
    path = project / "params.yaml"
    text = path.read_text()
    path.write_text(text.replace("allow_retracted: false", "allow_retracted: true"))


def with_any_reject_rate(params: Params) -> Params:
    """Some of the tiny folders have a bad line on purpose."""
    lenient = params.index.model_copy(update={"max_reject_rate": 1.0})
    return params.model_copy(update={"index": lenient})


@pytest.mark.parametrize("name", CASES)
def test_every_layout_from_the_folder_to_its_index(project, tmp_path, name):
    case = CASES[name]
    folder = write_case(tmp_path / "downloads/My Set", case)
    if name in RETRACTED_READERS:
        before = (project / "params.yaml").read_bytes()
        assert "retracted" in init(project, folder, fails=True)
        assert (project / "params.yaml").read_bytes() == before
        allow_retracted(project)
    shown = init(project, folder.parent)
    params = with_any_reject_rate(load_params(project / "params.yaml"))
    assert params.dataset.reader == name
    assert Path(params.dataset.root) == folder
    assert params.score.protocol == READERS[name].protocol
    assert {params.score.query, params.score.gallery} <= set(params.splits) <= set(case.counts)
    for split in params.splits:
        (report,) = [index.run_shard(job) for job in index.plan(params, project, split)]
        rows = read_table(Layout(project).index(split)).to_pylist()
        cameras = {row["camid"] for row in rows} - {None}
        people = {row["pid"] for row in rows} - {None}
        assert (len(rows), len(people), len(cameras)) == case.counts[split]
        expected = READERS[name].official.get(split)
        if expected and expected.images and not READERS[name].shared:
            assert any(" images expected, " in note for note in report.notes)
            assert f"{split}: " in shown
            suite = counts_suite(Layout(project), split, params)
            assert suite.frame["images"].tolist() == [len(rows)]
            assert any(check.kwargs["value_set"] == list(expected.images) for check in suite.checks)
    assert "licence is not in the files" in shown


def test_comments_order_and_other_values_stay(project, tmp_path):
    folder = write_case(tmp_path / "veri", CASES["veri776"])
    path = project / "params.yaml"
    before = path.read_text().splitlines()
    init(project, folder, "--licence", "research only", "--status", "academic", "--name", "mine")
    after = path.read_text().splitlines()
    assert len(before) == len(after)
    changed = {
        new.strip().split(":")[0] for old, new in zip(before, after, strict=True) if old != new
    }
    assert changed <= {"name", "reader", "root", "licence", "status", "protocol", "splits"}
    comments = [line.partition("# ")[2] for line in before]
    assert comments == [line.partition("# ")[2] for line in after]
    dataset = load_params(path).dataset
    assert (dataset.name, dataset.licence, dataset.status) == ("mine", "research only", "academic")
    first = path.read_bytes()
    init(project, folder, "--licence", "research only", "--status", "academic", "--name", "mine")
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--status", "free"], "dataset.status"),
        (["--reader", "nonsense"], "no reader 'nonsense'"),
        (["--reader", "viper"], "no folder 'cam_a'"),
        (["--query", "train", "--gallery", "nothing"], "nothing"),
        (["--name", "Not A Name"], "dataset.name"),
    ],
)
def test_a_failed_init_leaves_the_params_untouched(project, tmp_path, options, reason):
    folder = write_case(tmp_path / "ltcc", CASES["ltcc"])
    before = (project / "params.yaml").read_bytes()
    assert reason in " ".join(init(project, folder, *options, fails=True).split())
    assert (project / "params.yaml").read_bytes() == before
    assert [path.name for path in project.iterdir()] == ["params.yaml"]


def test_a_key_given_twice_is_refused(project, tmp_path):
    folder = write_case(tmp_path / "veri", CASES["veri776"])
    path = project / "params.yaml"
    path.write_text(path.read_text() + "shards: 4\n")
    assert "shards" in init(project, folder, fails=True)


def test_person_0_is_a_person_where_it_is_asked_for(project, tmp_path):
    folder = write_case(tmp_path / "set", CASES["market1501"])
    for name in ("query/0000_c1s1_000001_00.jpg", "bounding_box_test/0000_c2s1_000001_00.jpg"):
        (folder / name).write_bytes(picture(5, ".jpg"))
    assert "person 0 is asked for" in init(project, folder)
    assert load_params(project / "params.yaml").dataset.distractor_pids == ()


def test_images_of_no_split_and_rejects_are_told(project, tmp_path):
    folder = write_case(tmp_path / "set", CASES["market1501"])
    for name in ("gt_bbox/1.jpg", "query/x.gif", "query/nobody.jpg", "query/Thumbs.db"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(picture(5, ".jpg"))
    shown = init(project, folder)
    assert "1 images in gt_bbox belong to no split" in shown
    assert "first reject of query: query/nobody.jpg: is not named" in shown


def test_a_folder_that_nothing_fits_gets_a_table_to_fill_in(project, tmp_path):
    for name in ("ann/1.png", "ann/2.png", "bob/1.png", "bob/notes.txt"):
        (tmp_path / "people" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "people" / name).write_bytes(picture(len(name)))
    before = (project / "params.yaml").read_bytes()
    said = init(project, tmp_path / "people", fails=True)
    assert "manifest.csv" in said
    assert (project / "params.yaml").read_bytes() == before
    lines = (project / "data/manifest-people.csv").read_text().splitlines()
    assert lines == ["path,split,pid,camid", "ann/1.png,,0,", "ann/2.png,,0,", "bob/1.png,,1,"]
    filled = [lines[0], "ann/1.png,query,0,0", "ann/2.png,gallery,0,1", "bob/1.png,gallery,1,1"]
    (tmp_path / "people/manifest.csv").write_text("\n".join(filled))
    init(project, tmp_path / "people")
    params = load_params(project / "params.yaml")
    assert (params.dataset.reader, params.splits) == ("manifest", ("query", "gallery"))


def test_several_datasets_in_one_folder_are_named(project, tmp_path):
    for name in ("ltcc", "prcc"):
        write_case(tmp_path / "all" / name, CASES[name])
    assert "several datasets: ltcc (ltcc), prcc (prcc)" in init(
        project, tmp_path / "all", fails=True
    )


def _hf_rows(pids):
    return [
        {"image": {"bytes": picture(pid), "path": None}, "person_id": pid, "camera": pid % 2}
        for pid in pids
    ]


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_hugging_face_datasets_are_unpacked(project, tmp_path, form):
    folder = tmp_path / "hub"
    for split, pids in (("query", [1, 2]), ("gallery", [1, 2, 3])):
        table = pa.Table.from_pylist(_hf_rows(pids))
        if form == "parquet":
            (folder / "data").mkdir(parents=True, exist_ok=True)
            pq.write_table(table, folder / f"data/{split}-00000-of-00001.parquet")
            continue
        (folder / split).mkdir(parents=True)
        (folder / split / "state.json").write_text(json.dumps({"_split": split}))
        with pa.ipc.new_stream(folder / split / "data-00000-of-00001.arrow", table.schema) as sink:
            sink.write_table(table)
    init(project, folder)
    params = load_params(project / "params.yaml")
    assert (params.dataset.reader, params.dataset.root) == ("hf", "data/raw/hub")
    (job,) = index.plan(params, project, "gallery")
    index.run_shard(job)
    rows = read_table(Layout(project).index("gallery")).to_pylist()
    assert [(row["pid"], row["camid"]) for row in rows] == [(1, 1), (2, 0), (3, 1)]
    assert "exists: run pose2id init" in init(project, folder, fails=True)


def test_pictures_that_are_only_paths_are_refused_and_nothing_stays(project, tmp_path):
    folder = tmp_path / "hub"
    folder.mkdir()
    row = {"image": {"bytes": None, "path": "gone.png"}, "pid": 1}
    schema = pa.schema(
        [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("pid", pa.int64())]
    )
    pq.write_table(pa.Table.from_pylist([row], schema), folder / "query.parquet")
    assert "'gone.png' in place of a picture" in init(project, folder, fails=True)
    assert list((project / "data/raw").iterdir()) == []


def _cuhk03(folder, configs):
    """`cuhk-03.mat` in MATLAB's form, with one picture where the split files name one."""
    h5py = pytest.importorskip("h5py")
    folder.mkdir()
    with h5py.File(folder / "cuhk-03.mat", "w") as file:
        for boxes, names in configs.items():
            pairs = file.create_dataset(boxes, (1, 5), dtype=h5py.ref_dtype)
            for pair in range(5):
                mine = [name for name in names if name[0] == pair + 1]
                n_people = max((name[1] for name in mine), default=1)
                people = file.create_dataset(
                    f"#{boxes}{pair}", (10, n_people), dtype=h5py.ref_dtype
                )
                empty = file.create_dataset(f"#{boxes}{pair}empty", (2,), dtype="u8")
                people[...] = empty.ref
                for _, person, _, place in mine:
                    pixels = np.asarray(Image.open(io.BytesIO(picture(person + place))))
                    name = f"#{boxes}{pair}_{person}_{place}"
                    people[place - 1, person - 1] = file.create_dataset(name, data=pixels.T).ref
                pairs[0, pair] = people.ref


def test_cuhk03_is_unpacked_by_its_split_files(project, tmp_path):
    names = [(1, 1, 1, 1), (1, 2, 1, 1), (1, 2, 2, 6), (5, 3, 2, 10)]
    folder = tmp_path / "cuhk03_release"
    _cuhk03(folder, {"labeled": names, "detected": names})
    written = ["{}_{:03d}_{}_{:02d}.png".format(*name) for name in names]
    for boxes in ("labeled", "detected"):
        savemat(
            folder / f"cuhk03_new_protocol_config_{boxes}.mat",
            {
                "filelist": np.array(written, object)[:, None],
                "labels": np.array([[1], [2], [2], [1467]]),
                "camId": np.array([[1], [1], [2], [2]]),
                "train_idx": np.array([[1]]),
                "query_idx": np.array([[2]]),
                "gallery_idx": np.array([[3], [4]]),
            },
        )
    init(project, folder)
    params = load_params(project / "params.yaml")
    assert params.dataset.reader == "cuhk03"
    root = project / params.dataset.root
    assert sorted(path.name for path in (root / "labeled/bounding_box_test").iterdir()) == [
        "0002_c2_00003.png",
        "1467_c2_00004.png",
    ]
    stored = np.asarray(Image.open(root / "detected/query/0002_c1_00002.png"))
    assert np.array_equal(stored, np.asarray(Image.open(io.BytesIO(picture(3)))))


def test_split_files_of_the_new_protocol_name_all_images(shared):
    from tasks.starting.unpack_cuhk03 import _config

    folder = shared / "data/protocols/cuhk03-np"
    if not folder.is_dir():
        pytest.skip(f"needs the split files in {folder}")
    for boxes, official in (("labeled", (7368, 1400, 5328)), ("detected", (7365, 1400, 5332))):
        config = _config(folder, boxes)
        sizes = tuple(config[key].size for key in ("train_idx", "query_idx", "gallery_idx"))
        assert sizes == official
