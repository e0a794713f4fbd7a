import hashlib
import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pose2id.errors import DataError
from pose2id.extractors.base import InputSpec
from pose2id.features import l2_normalize
from pose2id.steps.base import FeatureSet, Surroundings
from pose2id.steps.chain import ChainRunner
from pose2id.steps.fuse import fuse
from pose2id.steps.registry import STEPS
from pose2id.steps.second_opinion import second_opinion
from tasks.search import index
from tasks.search.asking import Networks, fresh_feature
from tasks.search.page import as_data, as_html
from tasks.search.ranking import Gallery, draw_ranked_list
from tasks.search.tiles import BORDER, GAP, PICTURE_SIZE, Tile, draw_tiles
from tasks.tables.feature_sets import load_feature_set
from tasks.tables.params import parse_params
from tasks.tables.schema import Layout, centralized
from tasks.tables.store import read_table, vector_column, vectors, write_table
from tests.tasks.factory import Spec, write_project

SPEC = Spec(
    identities=4, gallery_per_identity=2, distractors=2, poses=1, dim=6
)  # as wide as ColourExtractor


class ColourExtractor:
    """Mean colours of the upper and the lower half: enough to tell the drawn people apart."""

    name = "colour"
    fingerprint = "f" * 64  # what the factory's feature tables say they were made by
    dim = 6
    side = "none"
    input_spec = InputSpec(height_px=64, width_px=32)

    def __call__(self, images):
        halves = images.reshape(len(images), 2, 32, 32, 3).astype(np.float32)
        return halves.mean(axis=(2, 3)).reshape(len(images), 6) - 128.0


class Painter:
    """A generator whose drawings are the reference again: enough to see that they are used."""

    fingerprint = "a" * 64  # what the factory's drawings say they were made by

    def __init__(self):
        self.n_drawn = 0

    def __call__(self, references, keypoints, seeds):
        self.n_drawn += seeds.size
        picture = np.asarray(references[0].resize((32, 64)))
        return np.broadcast_to(picture, (1, len(keypoints), *picture.shape))


def networks(extractor=None, painter=None):
    return Networks(lambda: extractor or ColourExtractor(), lambda: painter or Painter())


def write_colour_features(root, params):
    """Gives all images, for every variant, the features that `ColourExtractor` finds."""
    layout, extractor, found = Layout(root), ColourExtractor(), {}
    for split in ("query", "gallery"):
        rows = read_table(layout.index(split)).to_pylist()
        files = [root / params.dataset.root / row["path"] for row in rows]
        features = l2_normalize(extractor(np.stack([np.asarray(Image.open(f)) for f in files])))
        for variant in params.feature_variants():
            columns = {"variant": [variant] * len(rows), "image_id": [r["image_id"] for r in rows]}
            path = layout.centralized(split) / f"{variant}.parquet"
            write_table(path, pa_table(columns, features), producer="c" * 64)
        found[split] = rows, features
    return found


def pa_table(columns, features):
    return pa.table(
        {**columns, "feature": vector_column(features)}, schema=centralized(features.shape[1])
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("search")
    params = write_project(root, SPEC)
    return root, params, write_colour_features(root, params)


def query_file(root, params):
    return next((root / params.dataset.root / "query").glob("00003_*"))


def stranger(root, params):
    """The picture of person 3 with other bytes than any indexed file."""
    buffer = io.BytesIO()
    Image.open(query_file(root, params)).save(buffer, format="bmp")
    return buffer.getvalue()


def ask(root, params, data, k=100, variant="ipg_nfc", **options):
    gallery = Gallery(Layout(root), params, variant, networks(**options))
    return gallery.search("the picture", data, k)


def test_an_indexed_picture_takes_its_stored_row_and_no_network(project):
    root, params, _ = project
    none = Networks(lambda: pytest.fail("extractor loaded"), lambda: pytest.fail("drawn"))
    gallery = Gallery(Layout(root), params, "ipg_nfc", none)
    found = gallery.search("me", query_file(root, params).read_bytes(), 100)
    stored = read_table(Layout(root).centralized("query") / "ipg_nfc.parquet")
    query = vectors(stored)[stored.column("image_id").to_pylist().index(found.query_id)]
    features = vectors(read_table(Layout(root).centralized("gallery") / "ipg_nfc.parquet"))
    expected = sorted(((features - query) ** 2).sum(axis=1))
    assert [hit.rank for hit in found.hits] == list(range(1, len(features) + 1))
    np.testing.assert_allclose([hit.distance for hit in found.hits], expected, atol=1e-6)
    assert found.notes == ("its stored feature, made by the pipeline",)


def test_a_known_query_finds_its_person_first_and_tells_right_from_wrong(project):
    root, params, _ = project
    found = ask(root, params, query_file(root, params).read_bytes())
    assert found.query_pid == found.hits[0].pid == 3
    assert {hit.pid for hit in found.hits if hit.is_match} == {3}
    assert {hit.pid for hit in found.hits if hit.is_match is False} == {0, 1, 2, 4}


def test_a_strange_picture_is_drawn_fused_and_finds_its_person_first(project):
    root, params, _ = project
    painter = Painter()
    found = ask(root, params, stranger(root, params), painter=painter)
    assert painter.n_drawn == SPEC.poses
    assert found.hits[0].pid == 3
    assert (found.query_id, found.query_pid) == (None, None)
    assert {hit.is_match for hit in found.hits} == {None}
    assert not any(hit.is_same_file for hit in found.hits)
    assert any(note.startswith("drawn in 1 poses") for note in found.notes)
    assert any(note.startswith("nfc: left out, as a single picture") for note in found.notes)


def test_a_strange_picture_takes_the_value_that_the_chain_gives_it(project):
    root, params, _ = project
    data = stranger(root, params)
    picture = np.asarray(Image.open(io.BytesIO(data)))[None]
    own = ColourExtractor()(picture)
    fused = fuse(own, own[None], eta=params.centralize.step("fuse").eta)
    args = (Layout(root), params, "ipg", data, networks())
    np.testing.assert_allclose(fresh_feature(*args)[0], fused[0], atol=1e-6)


def test_steps_with_a_reference_use_the_gallery_after_the_same_steps(tmp_path):
    variants = {"base": [], "white": ["fuse", "whiten"]}
    spec = replace(SPEC, gallery_per_identity=4)
    params = write_project(tmp_path, spec, variants=variants)
    data = stranger(tmp_path, params)
    feature, notes = fresh_feature(Layout(tmp_path), params, "white", data, networks())
    runner = ChainRunner(lambda s: load_feature_set(Layout(tmp_path), s)[1], {}, params.references)
    own = ColourExtractor()(np.asarray(Image.open(io.BytesIO(data)))[None])
    fused = FeatureSet(fuse(own, own[None], eta=params.centralize.step("fuse").eta))
    around = Surroundings(runner.before("gallery", ("fuse", "whiten"), 1))
    settings = params.centralize.step("whiten")
    expected = l2_normalize(STEPS["whiten"].apply(fused, settings, around).features)[0]
    np.testing.assert_allclose(feature, expected, atol=1e-6)
    assert "whiten: done, against gallery" in notes


def test_a_strange_picture_is_shown_to_the_second_network_too(tmp_path):
    params = write_project(tmp_path, SPEC)
    raw = params.model_dump(mode="json", by_alias=True)
    raw["features"]["second"] = "ipg_identity"
    raw["centralize"]["second_opinion"] = {"weight": 2.0}
    params = parse_params({**raw, "variants": {"base": [], "two": ["second_opinion"]}})
    data = stranger(tmp_path, params)
    extractor = ColourExtractor()
    both = replace(networks(), second=lambda: extractor)
    layout = Layout(tmp_path)
    feature, notes = fresh_feature(layout, params, "two", data, both)
    own = extractor(np.asarray(Image.open(io.BytesIO(data)))[None])
    np.testing.assert_allclose(feature, second_opinion(own, own, weight=2)[0], atol=1e-6)
    assert "second_opinion: done" in notes


def test_reranking_is_said_to_be_left_out(tmp_path):
    variants = {"base": [], "base_rerank": ["rerank"]}
    params = write_project(tmp_path, SPEC, variants=variants)
    write_colour_features(tmp_path, params)
    data = query_file(tmp_path, params).read_bytes()
    notes = ask(tmp_path, params, data, variant="base_rerank").notes
    assert notes[-1].startswith("rerank: left out")


def test_gallery_images_with_the_bytes_of_the_query_are_named(project):
    root, params, found = project
    data = query_file(root, params).read_bytes()
    same = {
        row["image_id"]
        for row in found["gallery"][0]
        if row["sha256"] == hashlib.sha256(data).hexdigest()
    }
    assert same
    hits = ask(root, params, data).hits
    assert {hit.image_id for hit in hits if hit.is_same_file} == same


@pytest.mark.parametrize("which", ["extractor", "painter"])
def test_features_and_drawings_of_another_network_are_not_compared(project, which):
    root, params, _ = project
    other = {"extractor": ColourExtractor, "painter": Painter}[which]()
    other.fingerprint = "e" * 64
    with pytest.raises(DataError, match="made by another network"):
        ask(root, params, stranger(root, params), **{which: other})


def test_a_page_of_results_escapes_names_and_needs_nothing_beside_it(project):
    root, params, _ = project
    data = query_file(root, params).read_bytes()
    found = replace(ask(root, params, data, k=2), name="<script>alert(1)</script>")
    html = as_html([(found, data)], root / params.dataset.root)
    assert "<script" not in html
    assert html.count('src="data:image/jpeg;base64,') == html.count("<img") == 3
    assert as_data(found)["hits"][0]["pid"] == 3


def test_the_drawing_shows_query_and_hits_with_right_and_wrong_in_colour(project):
    root, params, _ = project
    path = query_file(root, params)
    found = ask(root, params, path.read_bytes(), k=4)
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
    write_colour_features(tmp_path, params)
    query = query_file(tmp_path, params)
    found = ask(tmp_path, params, query.read_bytes(), k=1)
    (tmp_path / params.dataset.root / found.hits[0].path).unlink()
    with pytest.raises(DataError, match=r"bounding_box_test/.*cannot be read"):
        draw_ranked_list(Image.open(query), found, tmp_path / params.dataset.root)


def test_a_second_search_maps_the_features_and_a_new_table_makes_a_new_index(tmp_path, monkeypatch):
    params = write_project(tmp_path, SPEC)
    write_colour_features(tmp_path, params)
    data = query_file(tmp_path, params).read_bytes()
    first = ask(tmp_path, params, data)
    folder = Layout(tmp_path).cache / "search/gallery/ipg_nfc"
    (made,) = folder.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(index, "read_table", lambda *_: pytest.fail("read the table again"))
        assert ask(tmp_path, params, data) == first
    made.write_bytes(made.read_bytes()[:-1] + b"x")  # damaged: made again
    assert ask(tmp_path, params, data) == first
    path = Layout(tmp_path).centralized("gallery") / "ipg_nfc.parquet"
    table = read_table(path)
    turned = vectors(table)[::-1]
    columns = {name: table.column(name).to_pylist() for name in ("variant", "image_id")}
    write_table(path, pa_table(columns, turned), producer="c" * 64)
    assert ask(tmp_path, params, data).hits != first.hits
    (fresh,) = folder.iterdir()
    assert fresh.name != made.name
