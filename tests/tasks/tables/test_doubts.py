import pytest

from tasks.tables.doubts import doubts_about
from tasks.tables.schema import Layout
from tests.tasks.factory import Spec, params_of, write_project

RERANK_50 = {
    "variants": {"base": [], "reranked": ["rerank"]},
    "score": {"rerank": {"k1": 50, "k2": 2}},
}
SPEC = Spec(identities=2, gallery_per_identity=2, distractors=1, poses=1)


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    root = tmp_path_factory.mktemp("doubts")
    write_project(root, SPEC)
    return Layout(root)


@pytest.mark.parametrize(
    ("changes", "split", "words"),
    [
        ({"centralize": {"nfc": {"k1": 5}}}, "gallery", ["nfc.k1 is 5", "5 image(s)", "at most 4"]),
        (RERANK_50, "gallery", ["k1 50", "images together"]),
        (RERANK_50, "query", ["k1 50", "at most"]),
    ],
)
def test_what_the_images_cannot_give_is_said_once_they_are_counted(layout, changes, split, words):
    found = doubts_about(params_of(SPEC, **changes), layout, split)
    assert any(all(word in sentence for word in words) for sentence in found), found


def test_fitting_parameters_give_no_doubt(layout):
    params = params_of(
        SPEC,
        centralize={"nfc": {"k1": 1, "k2": 1}},
        score={"rerank": {"k1": 2, "k2": 1}},
        tune={"split": "gallery"},
    )
    assert doubts_about(params, layout, "gallery") == []


def test_a_split_of_one_person_cannot_be_tuned_on(tmp_path):
    spec = Spec(identities=1, gallery_per_identity=2, distractors=1, poses=1)
    write_project(tmp_path, spec)
    found = doubts_about(params_of(spec, tune={"split": "gallery"}), Layout(tmp_path), "gallery")
    assert any("1 people" in sentence and "pose2id tune" in sentence for sentence in found), found
