import hashlib
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pose2id.errors import DataError
from pose2id.extractors.base import InputSpec
from pose2id.features import l2_normalize
from tasks.search.ranking import draw_ranked_list, search
from tasks.search.tiles import BORDER, GAP, PICTURE_SIZE, Tile, draw_tiles
from tasks.tables.schema import Layout, centralized
from tasks.tables.store import read_table, vector_column, write_table
from tests.tasks.factory import Spec, write_project

SPEC = Spec(identities=4, gallery_per_identity=2, distractors=2, poses=1, dim=6)


class ColourExtractor:
    """Mean colours of the upper and the lower half: enough to tell the drawn people apart."""

    name = "colour"
    fingerprint = "f" * 64  # what the factory's feature tables say they were made by
    dim = 6
    input_spec = InputSpec(height_px=64, width_px=32)

    def __call__(self, images):
        halves = images.reshape(len(images), 2, 32, 32, 3).astype(np.float32)
        return halves.mean(axis=(2, 3)).reshape(len(images), 6) - 128.0


def write_base_features(root, params):
    """Gives the gallery the features that `ColourExtractor` finds in its files."""
    layout, extractor = Layout(root), ColourExtractor()
    rows = read_table(layout.index("gallery")).to_pylist()
    pixels = [np.asarray(Image.open(root / params.dataset.root / row["path"])) for row in rows]
    features = l2_normalize(extractor(np.stack(pixels)))
    columns = {"variant": ["base"] * len(rows), "image_id": [row["image_id"] for row in rows]}
    table = pa_table(columns, features)
    write_table(layout.centralized("gallery") / "base.parquet", table, producer="c" * 64)
    return rows, features


def pa_table(columns, features):
    return pa.table(
        {**columns, "feature": vector_column(features)}, schema=centralized(features.shape[1])
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("search")
    params = write_project(root, SPEC)
    rows, features = write_base_features(root, params)
    return root, params, rows, features


def query_file(root, params):
    return next((root / params.dataset.root / "query").glob("00003_*"))


def test_the_nearest_images_come_first_with_their_squared_distances(project):
    root, params, rows, features = project
    data = query_file(root, params).read_bytes()
    found = search(Layout(root), params, data, ColourExtractor(), variant="base", k=100)
    query = features[[row["pid"] for row in rows].index(3)]
    expected = sorted(((features - query) ** 2).sum(axis=1))
    assert [hit.rank for hit in found.hits] == list(range(1, len(rows) + 1))
    np.testing.assert_allclose([hit.distance for hit in found.hits], expected, atol=1e-6)


def test_a_known_query_tells_right_from_wrong(project):
    root, params, _, _ = project
    data = query_file(root, params).read_bytes()
    found = search(Layout(root), params, data, ColourExtractor(), variant="base", k=100)
    assert found.query_pid == 3
    assert {hit.pid for hit in found.hits if hit.is_match} == {3}
    assert {hit.pid for hit in found.hits if hit.is_match is False} == {0, 1, 2, 4}


def test_a_stranger_has_no_right_and_wrong(project, tmp_path):
    root, params, _, _ = project
    Image.new("RGB", (50, 90), "teal").save(tmp_path / "me.png")
    data = (tmp_path / "me.png").read_bytes()
    found = search(Layout(root), params, data, ColourExtractor(), variant="base", k=3)
    assert (found.query_id, found.query_pid) == (None, None)
    assert [hit.is_match for hit in found.hits] == [None] * 3
    assert not any(hit.is_same_file for hit in found.hits)


def test_gallery_images_with_the_bytes_of_the_query_are_named(project):
    root, params, rows, _ = project
    data = query_file(root, params).read_bytes()
    found = search(Layout(root), params, data, ColourExtractor(), variant="base", k=100)
    same = {row["image_id"] for row in rows if row["sha256"] == hashlib.sha256(data).hexdigest()}
    assert same
    assert {hit.image_id for hit in found.hits if hit.is_same_file} == same


def test_features_of_another_network_are_not_compared(project):
    root, params, _, _ = project
    other = ColourExtractor()
    other.fingerprint = "e" * 64
    data = query_file(root, params).read_bytes()
    with pytest.raises(DataError, match="made by another network"):
        search(Layout(root), params, data, other, variant="base", k=3)


def test_concatenated_features_cannot_be_searched_and_the_message_says_why(project):
    root, params, rows, features = project
    columns = {"variant": ["ipg"] * len(rows), "image_id": [row["image_id"] for row in rows]}
    path = Layout(root).centralized("gallery") / "ipg.parquet"
    write_table(path, pa_table(columns, np.hstack([features, features])), producer="c" * 64)
    data = query_file(root, params).read_bytes()
    with pytest.raises(DataError, match=r"12 wide.*is 6.*'concat'; search base or nfc"):
        search(Layout(root), params, data, ColourExtractor(), variant="ipg", k=3)


def test_the_drawing_shows_query_and_hits_with_right_and_wrong_in_colour(project):
    root, params, _, _ = project
    path = query_file(root, params)
    found = search(Layout(root), params, path.read_bytes(), ColourExtractor(), variant="base", k=4)
    hits = (replace(found.hits[0], is_match=True), replace(found.hits[1], is_match=False))
    drawing = draw_ranked_list(
        Image.open(path), replace(found, hits=hits), root / params.dataset.root
    )
    width = PICTURE_SIZE[0] + 2 * BORDER + GAP
    border = [drawing.getpixel((GAP + i * width + 1, GAP + 100)) for i in range(3)]
    assert drawing.width == GAP + 3 * width
    assert border[0][0] == pytest.approx(border[0][1], abs=10)  # grey: the query
    assert border[1][1] > 2 * border[1][0]  # green
    assert border[2][0] > 2 * border[2][1]  # red


def test_right_and_wrong_are_told_apart_without_colour():
    board = Image.new("RGB", (32, 64), "white")
    drawings = [draw_tiles([Tile(board, ("",), right)]).convert("L") for right in (True, False)]
    signs = [np.asarray(d.crop((GAP, GAP, GAP + 20, GAP + 20))) > 200 for d in drawings]
    assert (signs[0] != signs[1]).sum() > 30


def test_a_gallery_file_that_is_gone_is_named(tmp_path):
    params = write_project(tmp_path, SPEC)
    write_base_features(tmp_path, params)
    query = query_file(tmp_path, params)
    data = query.read_bytes()
    found = search(Layout(tmp_path), params, data, ColourExtractor(), variant="base", k=1)
    (tmp_path / params.dataset.root / found.hits[0].path).unlink()
    with pytest.raises(DataError, match=r"bounding_box_test/.*cannot be read"):
        draw_ranked_list(Image.open(query), found, tmp_path / params.dataset.root)
