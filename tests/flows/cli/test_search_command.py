import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

import tasks.stages.features
from flows.cli.main import app
from tests.tasks.factory import write_project
from tests.tasks.search.test_search import SPEC, ColourExtractor, query_file, write_base_features


@pytest.fixture
def search(tmp_path, monkeypatch):
    params = write_project(tmp_path, SPEC)
    write_base_features(tmp_path, params)
    text = yaml.safe_dump(params.model_dump(mode="json", by_alias=True))
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tasks.stages.features, "load_extractor", lambda *_: ColourExtractor())

    def run(*arguments):
        return CliRunner().invoke(app, ["search", *arguments])

    run.query = query_file(tmp_path, params)
    return run


def test_the_ranked_list_is_printed_and_drawn(search, tmp_path):
    result = search("--image", str(search.query), "-k", "4", "--out", "found/list.png")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["rank", "image_id", "pid", "camid", "distance", "verdict", "note"]
    assert len(lines) == 5
    assert lines[1].split()[0::2][:2] == ["1", "3"]
    assert "right" in lines[1]
    assert "against the base features of gallery" in result.stderr
    with Image.open(tmp_path / "found/list.png") as drawing:
        assert drawing.width > 4 * drawing.height // 2


def test_a_file_that_is_no_picture_is_named(search, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    result = search("--image", "notes.txt")
    assert result.exit_code == 2
    assert "--image notes.txt is not a readable picture" in result.stderr
    assert not (tmp_path / "ranked.png").exists()


def test_a_missing_file_is_named(search):
    result = search("--image", "nobody.jpg")
    assert result.exit_code == 2
    assert "--image nobody.jpg cannot be read" in result.stderr


def test_the_drawing_is_a_png(search):
    result = search("--image", str(search.query), "--out", "list.jpg")
    assert result.exit_code == 2
    assert ".png" in result.stderr
