"""Converting published weights from a local folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from flows.cli.main import app

CONVERT = ("weights", "convert")


@pytest.fixture
def published(shared: Path, tmp_path: Path) -> Path:
    """The published file formats at tiny size."""
    folder = tmp_path / "published"
    shutil.copytree(shared / "fixtures" / "official" / "weights", folder)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def test_files_of_another_size_are_refused_with_keys_and_shapes(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = CliRunner().invoke(app, [*CONVERT, str(published), str(tmp_path / "model")])
    assert result.exit_code == 2
    assert not (tmp_path / "model" / "config.json").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = CliRunner().invoke(app, [*CONVERT, str(tmp_path / "empty"), str(tmp_path / "model")])
    assert result.exit_code == 2
    assert "is missing" in result.output


def test_a_file_that_holds_code_is_refused(published: Path, tmp_path: Path) -> None:
    torch.save({"a": Path("x")}, published / "IFR.pth")
    result = CliRunner().invoke(app, [*CONVERT, str(published), str(tmp_path / "model")])
    assert result.exit_code == 2


def test_an_unknown_name_says_which_there_are() -> None:
    result = CliRunner().invoke(app, ["weights", "fetch", "pose3id"])
    assert result.exit_code == 2
    assert "pose2id" in result.output
