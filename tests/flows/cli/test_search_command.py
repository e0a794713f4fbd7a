import json
import shutil

import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

import flows.cli.search
import tasks.search.asking
from flows.cli.main import app
from tests.tasks.factory import write_project
from tests.tasks.search.test_search import SPEC, networks, query_file, write_colour_features


@pytest.fixture
def search(tmp_path, monkeypatch):
    params = write_project(tmp_path, SPEC)
    write_colour_features(tmp_path, params)
    text = yaml.safe_dump(params.model_dump(mode="json", by_alias=True))
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tasks.search.asking, "networks_of", lambda *_: networks())

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
    assert "(query/00003_c1s1_000002_00 in the index)" in result.stderr
    with Image.open(tmp_path / "found/list.png") as drawing:
        assert drawing.width > 4 * drawing.height // 2


def test_a_terminal_with_colours_shows_as_many_pictures_as_fit(search, monkeypatch):
    monkeypatch.setattr(flows.cli.search, "shows_pictures", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    result = search("--image", str(search.query), "-k", "4")
    assert result.exit_code == 0, result.stderr
    *pictures, names = result.stdout.splitlines()[-11:]
    assert names.split() == ["query", "1", "right", "2", "right"]
    assert all(line.count("\u2580") == 30 for line in pictures)
    query, first = (line.split("\x1b[0m") for line in (pictures[0], pictures[5]))
    assert query[0] != first[0]  # the upper half has another colour than the lower


def test_an_image_id_finds_the_same_as_its_file(search):
    by_file = json.loads(search("--image", str(search.query), "--json").stdout)[0]
    by_id = json.loads(search("--image", by_file["query_id"], "--json").stdout)[0]
    assert by_id == by_file | {"name": by_file["query_id"]}
    assert by_id["hits"][0]["pid"] == by_id["query_pid"] == 3


def test_a_folder_is_asked_picture_by_picture(search, tmp_path):
    result = search("--image", str(search.query.parent), "-k", "1", "--html", "found.html")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("rank") == SPEC.identities
    assert (tmp_path / "found.html").read_text(encoding="utf-8").count("<article") == 4
    assert not (tmp_path / "ranked.png").exists()


def test_a_file_that_is_no_picture_is_named(search, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    result = search("--image", "notes.txt")
    assert result.exit_code == 2
    assert "--image notes.txt is not a readable picture" in result.stderr
    assert not (tmp_path / "ranked.png").exists()


def test_a_file_of_a_folder_that_is_no_picture_is_left_out_and_named(search, tmp_path):
    folder = tmp_path / "asked"
    folder.mkdir()
    (folder / "bad.jpg").write_text("no picture")
    none = search("--image", "asked")
    assert none.exit_code == 2
    assert "has no picture that can be used" in none.stderr
    shutil.copy(search.query, folder / "good.jpg")
    result = search("--image", "asked")
    assert result.exit_code == 0
    assert "left out: asked/bad.jpg is not a readable picture" in result.stderr
    assert "asked/good.jpg" in result.stderr


def test_a_missing_file_is_named(search):
    result = search("--image", "nobody.jpg")
    assert result.exit_code == 2
    assert "--image nobody.jpg cannot be read" in result.stderr


def test_the_drawing_is_a_png(search):
    result = search("--image", str(search.query), "--out", "list.jpg")
    assert result.exit_code == 2
    assert ".png" in result.stderr


def test_a_picture_or_a_page_is_asked_for_not_both(search):
    for arguments in ((), ("--serve", "--image", str(search.query))):
        done = search(*arguments)
        assert done.exit_code == 2
        assert "--serve" in done.stderr
