"""The features stage: features that were given, cameras, and networks watched in part."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pose2id.errors import DataError, ParamsError
from pose2id.extractors.base import InputSpec
from tasks.stages import features, generate, validate
from tasks.tables.cache import needed_keys
from tasks.tables.feature_sets import load_feature_set
from tasks.tables.params import parse_params
from tasks.tables.schema import Layout
from tasks.tables.store import read_table, vectors
from tests.tasks.factory import Spec, write_project


@pytest.fixture
def project(tmp_path):
    """A written project whose features are to be taken from the folder `given`."""
    write_project(tmp_path, Spec(identities=3))
    (tmp_path / "given").mkdir()

    def params(generator="none", **changes):
        written = write_project_params(tmp_path)
        section = {"extractor": "precomputed", "model": "given", **changes}
        return parse_params({**written, "features": section, "generate": {"generator": generator}})

    return tmp_path, params


def write_project_params(root):
    from tests.tasks.factory import params_of

    return params_of(Spec(identities=3)).model_dump(by_alias=True)


def run(stage, params, root, split="query"):
    reports = [stage.run_shard(job) for job in stage.plan(params, root, split)]
    stage.merge(params, root, split, reports)


def ids_of(root, split="query"):
    return sorted(read_table(Layout(root).index(split), ["image_id"]).column(0).to_pylist())


def taken(root, split="query"):
    table = read_table(Layout(root).features(split))
    keys = zip(table["image_id"].to_pylist(), table["pose_id"].to_pylist(), strict=True)
    return dict(zip(keys, vectors(table).tolist(), strict=True))


def rows_for(ids, dim=4):
    return np.arange(1, 1 + len(ids) * dim, dtype=np.float32).reshape(-1, dim)


def test_a_matrix_in_index_order(project):
    root, params = project
    ids = ids_of(root)
    np.save(root / "given/query.npy", rows_for(ids))
    run(generate, params(), root)
    run(features, params(), root)
    assert taken(root) == {(i, -1): row for i, row in zip(ids, rows_for(ids).tolist(), strict=True)}
    run(validate, params(), root)
    image_ids, features_of = load_feature_set(Layout(root), "query")
    assert image_ids == ids
    assert features_of.drawings.shape == (len(ids), 0, 4)


@pytest.mark.parametrize("kind", ["npz", "parquet", "sql"])
def test_names_rows_and_drawings_without_pictures(project, kind):
    root, params = project
    ids = ids_of(root)
    stems = [name.partition("/")[2] for name in ids]
    named = [*stems[::-1], *stems, "somebody_else"]
    poses = [*[-1] * len(ids), *[2] * len(ids), -1]
    rows = rows_for(named)
    if kind == "npz":
        np.savez(root / "given/query.npz", features=rows, ids=named, pose_ids=poses)
    else:
        table = pa.table({"image_id": named, "pose_id": poses, "feature": rows.tolist()})
        name = "query.parquet" if kind == "parquet" else "everything.parquet"
        pq.write_table(table, root / "given" / name)
    if kind == "sql":
        (root / "given/query.sql").write_text("SELECT * FROM everything")
    run(generate, params(), root)
    run(features, params(), root)
    found = taken(root)
    assert len(found) == 2 * len(ids)
    assert found[ids[0], -1] == rows[len(ids) - 1].tolist()
    assert found[ids[0], 2] == rows[len(ids)].tolist()
    run(validate, params(), root)
    _, features_of = load_feature_set(Layout(root), "query")
    assert features_of.drawings.shape == (len(ids), 1, 4)
    assert (features_of.drawing_weights == 1).all()


def test_a_query_reads_its_folder_alone(project):
    root, params = project
    (root / "secret.csv").write_text("image_id,feature\n")
    query = root / "given/query.sql"
    run(generate, params(), root)
    for text in (
        f"SELECT * FROM '{root}/secret.csv'",
        "SELECT * FROM '../secret.csv'",
        "SELECT content FROM read_text('/etc/hostname')",
        f"COPY (SELECT 1) TO '{root}/given/written.csv'",
        "SELEC 1",
    ):
        query.write_text(text)
        with pytest.raises(DataError, match="no query that gives features"):
            run(features, params(), root)
    query.write_text("SELECT 'a' AS image_id")
    with pytest.raises(DataError, match="has the columns image_id; feature is needed"):
        run(features, params(), root)


def test_given_features_that_do_not_fit(project):
    root, params = project
    ids = ids_of(root)
    run(generate, params(), root)

    def refused(message, **arrays):
        np.savez(root / "given/query.npz", **arrays)
        with pytest.raises(DataError, match=message):
            run(features, params(), root)

    refused(f"has {len(ids) + 1} rows, but there are {len(ids)}", features=rows_for([*ids, "x"]))
    nan = rows_for(ids)
    nan[1, 1] = np.nan
    refused("1 of 3 rows hold NaN or infinite values, the first is row 1", features=nan)
    refused("lacks 1 of 3 images", features=rows_for(ids[1:]), ids=ids[1:])
    refused("more than once", features=rows_for(ids), ids=[ids[0], *ids[:2]])
    refused("pose_ids but no ids", features=rows_for(ids), pose_ids=[-1, -1, -1])
    np.save(root / "given/query.npy", rows_for(ids))
    refused(r"found: query\.npy, query\.npz", features=rows_for(ids))
    with pytest.raises(DataError, match=r"is the folder that holds query\.npy"):
        run(features, params(model="nowhere"), root)


def test_pictures_that_were_drawn_need_their_features(project):
    root, params = project
    ids = ids_of(root)
    np.save(root / "given/query.npy", rows_for(ids))
    with pytest.raises(
        DataError, match=r"no features of \d+ drawings.*generate\.generator to none"
    ):
        run(features, params("ipg"), root)
    poses = [*[-1] * 3, *np.repeat(np.arange(1, 9), 3)]
    (root / "given/query.npy").unlink()
    np.savez(root / "given/query.npz", features=rows_for(poses), ids=ids * 9, pose_ids=poses)
    run(features, params("ipg"), root)
    assert len(taken(root)) == 27


class Cameras:
    """Gives back what it was told."""

    name, fingerprint, dim, files = "cameras", "f" * 64, 2, ()

    def __init__(self, side):
        self.side, self.input_spec = side, InputSpec(8, 4)

    def __call__(self, images, sides=None):
        return np.stack([np.ones(len(images)), sides], axis=1).astype(np.float32)


@pytest.mark.parametrize("side", ["camera", "modality"])
def test_originals_have_their_camera_and_drawings_none(tmp_path, monkeypatch, side):
    params = write_project(tmp_path, Spec(identities=3))
    monkeypatch.setattr(features, "load_extractor", lambda *_: Cameras(side))
    run(features, params, tmp_path)
    index = read_table(Layout(tmp_path).index("query"), ["image_id", "camid"]).to_pylist()
    camera_of = {row["image_id"]: row["camid"] for row in index}
    for (image_id, pose_id), (_, told) in taken(tmp_path).items():
        if side == "modality":
            assert told == 0
        else:
            assert told == (camera_of[image_id] if pose_id == -1 else -1)


class Constant:
    """An extractor that gives the same vector for every picture."""

    name = "constant"
    side = "none"
    files = ()

    def __init__(self, *vector):
        self.vector, self.dim, self.input_spec = vector, len(vector), InputSpec(8, 4)
        self.fingerprint = str(len(vector)) * 64

    def __call__(self, images, sides=None):
        return np.tile(np.array(self.vector, np.float32), (len(images), 1))


def test_a_second_network_sees_the_originals_alone_and_goes_when_it_is_asked_no_more(
    tmp_path, monkeypatch
):
    write_project(tmp_path, Spec(identities=3))
    layout, written = Layout(tmp_path), write_project_params(tmp_path)
    written["features"] = {**written["features"], "second": "ipg_identity"}
    both = parse_params(written)

    def load(params, *_):
        return Constant(1, 2, 3) if params.extractor == "ipg_identity" else Constant(1, 2)

    monkeypatch.setattr(features, "load_extractor", load)
    run(features, both, tmp_path)
    assert {len(vector) for vector in taken(tmp_path).values()} == {2}
    second = read_table(layout.second_features("query"))
    assert set(second["pose_id"].to_pylist()) == {-1}
    assert sorted(second["image_id"].to_pylist()) == ids_of(tmp_path)
    found = load_feature_set(layout, "query")[1].second
    assert found.tolist() == [[1, 2, 3]] * len(found)
    assert set(second["key"].to_pylist()) <= needed_keys(layout, "features")
    again = [features.run_shard(job) for job in features.plan(both, tmp_path, "query")]
    assert sum(report.n_made for report in again) == 0
    written["features"]["second"] = "none"
    run(features, parse_params(written), tmp_path)
    assert load_feature_set(layout, "query")[1].second is None


def test_a_network_wants_cameras_that_are_not_known(tmp_path, monkeypatch):
    params = write_project(tmp_path, Spec(identities=3, has_cameras=False))
    monkeypatch.setattr(features, "load_extractor", lambda *_: Cameras("camera"))
    with pytest.raises(DataError, match=r"3 images of 'query' have none.*camera_embedding to none"):
        run(features, replace_workers(params), tmp_path)


def replace_workers(params):
    return params.model_copy(update={"shards": 1})


def test_all_files_of_a_network_are_watched(tmp_path):
    network = tmp_path / "net"
    network.mkdir()
    files = (network / "net.xml", network / "net.bin")
    features.check_watched(files, network)
    features.check_watched(files[:1], files[0])
    with pytest.raises(
        ParamsError, match=r"net\.bin beside it.*set features\.model to that folder"
    ):
        features.check_watched(files, files[0])


def test_an_exported_network_with_companions_must_be_named_by_its_folder(tmp_path):
    onnx = pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")
    openvino = pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")
    from tests.pose2id.extractors.test_extractors_exported import _onnx_file

    assert onnx
    (tmp_path / "net").mkdir()
    model = openvino.convert_model(_onnx_file(tmp_path / "source.onnx"))
    openvino.save_model(model, tmp_path / "net/net.xml", compress_to_fp16=False)
    section = parse_params(
        {
            **write_project_params(tmp_path),
            "features": {
                "extractor": "openvino",
                "model": "net/net.xml",
                "input": {"height_px": 16, "width_px": 8, "channel_order": "bgr"},
            },
        }
    ).features
    with pytest.raises(ParamsError, match=r"net\.bin beside it"):
        features.load_extractor(section, str(tmp_path), "cpu")
    whole = section.model_copy(update={"model": "net"})
    assert features.load_extractor(whole, str(tmp_path), "cpu").dim == 4
