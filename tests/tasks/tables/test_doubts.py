import pytest

from tasks.tables.doubts import doubts_about
from tasks.tables.schema import Layout
from tests.tasks.factory import Spec, params_of, write_project

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
        ({"score": {"rerank": {"k1": 50, "k2": 2}}}, "gallery", ["k1 50", "images together"]),
        ({"score": {"rerank": {"k1": 50, "k2": 2}}}, "query", ["k1 50", "at most"]),
        ({"tune": {"split": "gallery", "folds": 3}}, "gallery", ["folds is 3", "2 people"]),
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
        tune={"split": "gallery", "folds": 2},
    )
    assert doubts_about(params, layout, "gallery") == []
