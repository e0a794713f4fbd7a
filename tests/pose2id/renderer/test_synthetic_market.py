"""The rendered dataset: Market-1501's layout, equal bytes, whole or not there at all."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pose2id.datasets.market1501 import MarketReader
from pose2id.errors import DataError, ParamsError
from pose2id.renderer import SyntheticSpec, read_keypoints, write_dataset

SPEC = SyntheticSpec(
    seed=7000,
    n_train_identities=2,
    n_test_identities=3,
    n_cameras=2,
    images_per_camera=2,
    queries_per_identity=1,
    n_distractors=3,
    n_junk=2,
    camera_seed=7000,
    height_px=64,
    width_px=32,
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic") / "market"
    write_dataset(root, SPEC)
    return root


def all_bytes(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_the_market_reader_finds_what_the_spec_asks_for(dataset):
    reader = MarketReader()
    listings = {split: reader.read_split(dataset, split) for split in ("train", "query", "gallery")}
    train, query, gallery = (listings[split].records for split in ("train", "query", "gallery"))
    assert [len(train), len(query), len(gallery)] == [8, 3, 12 + 3]
    assert [listing.n_junk for listing in listings.values()] == [0, 0, 2]
    assert not any(listing.rejects for listing in listings.values())
    assert len(train) + len(query) + len(gallery) + 2 == SPEC.n_images
    known = {record.pid for record in gallery if not record.distractor}
    assert {record.pid for record in query} == known == {3, 4, 5}
    assert {record.pid for record in train} == {1, 2}
    assert {record.camid for record in gallery} == {0, 1}
    assert sum(record.distractor for record in gallery) == 3


def test_pictures_are_jpegs_of_the_asked_size(dataset):
    for path in dataset.rglob("*.jpg"):
        with Image.open(path) as image:
            assert (image.format, image.size, image.mode) == ("JPEG", (32, 64), "RGB")
    assert (dataset / "bounding_box_train" / "0001_c1s1_000001_00.jpg").is_file()


def test_no_query_picture_is_in_the_gallery(dataset):
    query = {path.read_bytes() for path in (dataset / "query").iterdir()}
    gallery = {path.read_bytes() for path in (dataset / "bounding_box_test").iterdir()}
    assert len(query) == 3
    assert len(gallery) == 17
    assert not query & gallery


def test_true_keypoints_lie_beside_the_pictures(dataset):
    keypoints = read_keypoints(dataset)
    assert keypoints.keys() == {path.stem for path in dataset.rglob("*.jpg")}
    assert all(points.shape == (18, 3) for points in keypoints.values())
    seen = np.concatenate([points[points[:, 2] > 0] for points in keypoints.values()])
    assert len(seen) > 200
    assert ((seen[:, :2] >= 0) & (seen[:, :2] <= 1)).all()


def test_keypoints_of_a_foreign_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match="only rendered datasets"):
        read_keypoints(tmp_path)


def test_the_same_spec_gives_the_same_bytes_and_another_seed_other_pictures(dataset, tmp_path):
    write_dataset(tmp_path / "again", SPEC)
    assert all_bytes(tmp_path / "again") == all_bytes(dataset)
    write_dataset(tmp_path / "other", replace(SPEC, seed=7001))
    name = "query/0003_c1s1_000003_00.jpg"
    assert (tmp_path / "other" / name).read_bytes() != (dataset / name).read_bytes()


def test_an_interrupted_render_leaves_the_earlier_dataset_whole(tmp_path):
    root = tmp_path / "market"
    small = replace(SPEC, n_train_identities=0, n_test_identities=1, n_distractors=0, n_junk=0)
    write_dataset(root, small)
    before = all_bytes(root)
    done = []

    def stop(n_done):
        done.append(n_done)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(root, replace(small, seed=7001), stop)
    assert all_bytes(root) == before
    write_dataset(root, replace(small, seed=7001))
    assert all_bytes(root) != before
    assert [path.name for path in tmp_path.iterdir()] == ["market"]


def test_a_folder_that_was_not_rendered_is_never_overwritten(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(DataError, match=r"was not rendered here .* choose another folder"):
        write_dataset(tmp_path, SPEC)
    assert (tmp_path / "precious.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("n_test_identities", 0, "n_test_identities is 0; allowed are 1 and more"),
        ("n_junk", -1, "n_junk is -1; allowed are 0 and more"),
        ("queries_per_identity", 3, r"queries_per_identity is 3; allowed are at most n_cameras"),
    ],
)
def test_an_impossible_spec_is_refused_by_name(key, value, message):
    with pytest.raises(ParamsError, match=message):
        replace(SPEC, **{key: value})
