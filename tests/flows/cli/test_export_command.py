import json

import pytest
import yaml
from typer.testing import CliRunner

from flows.cli.main import app
from tests.tasks.factory import Spec, write_project

SPEC = Spec(identities=2, gallery_per_identity=2, distractors=1, poses=2)


@pytest.fixture
def export(tmp_path, monkeypatch):
    params = write_project(tmp_path, SPEC)
    text = yaml.safe_dump(params.model_dump(mode="json", by_alias=True))
    (tmp_path / "params.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(app, ["export", *arguments])

    return run


@pytest.mark.parametrize("file_format", ["folders", "hf", "webdataset", "fiftyone"])
def test_all_splits_leave_by_default(export, tmp_path, file_format):
    result = export("--format", file_format)
    assert result.exit_code == 0, result.stderr
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["split", "pictures"],
        ["query", "4"],
        ["gallery", "10"],
    ]
    manifest = json.loads((tmp_path / "exports" / file_format / "export.json").read_text())
    assert manifest["counts"] == {"query": 4, "gallery": 10}


def test_one_split_of_one_variant_leaves_as_an_array(export, tmp_path):
    result = export("--format", "npy", "--split", "query", "--features", "base", "--out", "mine")
    assert result.exit_code == 0, result.stderr
    names = sorted(path.name for path in (tmp_path / "mine").iterdir())
    assert names == ["export.json", "query.json", "query.npy"]
    assert "written to mine" in result.stderr


def test_a_second_export_needs_a_word(export):
    assert export("--format", "pt").exit_code == 0
    refused = export("--format", "pt")
    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    assert export("--format", "pt", "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "zip"], "zip"),
        (["--format", "hf", "--split", "test"], "--split is 'test'; it can be query, gallery"),
        (["--format", "hf", "--features", "base"], "--features goes with"),
        (["--format", "npy", "--accepted-only"], "--accepted-only goes with"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(export, tmp_path, arguments, message):
    result = export(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert not (tmp_path / "exports").exists()
