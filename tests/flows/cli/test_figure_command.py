"""`pose2id figure`: files that a paper takes, with the numbers and pictures of the tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from flows.cli.main import app
from tasks.tables.schema import Layout
from tasks.tables.store import read_table
from tests.tasks.factory import Spec, write_project

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    params = write_project(folder, Spec(poses=2))
    text = yaml.safe_dump(params.model_dump(mode="json", by_alias=True))
    (folder / "params.yaml").write_text(text)
    return folder


@pytest.fixture
def figure(root: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(root)
    return lambda *arguments: CliRunner().invoke(app, ["figure", *arguments])


def test_the_table_has_the_numbers_of_the_summary(figure: Run, root: Path) -> None:
    assert figure("table", "--out", "t.tex").exit_code == 0
    lines = (root / "t.tex").read_text(encoding="utf-8").splitlines()
    rows = read_table(Layout(root).results / "summary.parquet").to_pylist()
    for row in rows:
        (line,) = [x for x in lines if x.startswith(row["variant"].replace("_", r"\_") + " &")]
        cells = [re.sub(r"\\textbf\{(.*)\}", r"\1", cell.strip()) for cell in line.split("&")]
        names = ("mAP", "rank_1", "rank_5", "rank_10", "mINP")
        assert cells[1:6] == [f"{100 * row[name]:.1f}" for name in names]
        if row["variant"] != "base":
            assert f"{100 * row['mAP_delta']:+.1f}" in cells[6]
    best = max(rows, key=lambda row: row["mAP"])
    assert rf"\textbf{{{100 * best['mAP']:.1f}}}" in "\n".join(lines)


@pytest.mark.parametrize("kind", ["ranked", "poses", "cmc"])
@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_the_same_tables_give_the_same_file(
    figure: Run, root: Path, kind: str, suffix: str, start: bytes
) -> None:
    files = [root / f"{number}.{suffix}" for number in (1, 2)]
    for file in files:
        done = figure(kind, "--out", file.name, "--width", "3.5", "-n", "1")
        assert done.exit_code == 0, done.stderr
    data = [file.read_bytes() for file in files]
    assert data[0] == data[1]
    assert data[0].startswith(start)
    assert b"/Type3" not in data[0]


def test_ranked_lists_have_a_row_per_query_and_variant_and_the_asked_width(
    figure: Run, root: Path
) -> None:
    query = read_table(Layout(root).index("query")).column("image_id")[0].as_py()
    options = ("--image", query, "--variant", "base", "--variant", "ipg", "-k", "4")
    for width in ("2", "4"):
        done = figure("ranked", "--out", f"{width}.png", "--width", width, *options)
        assert done.exit_code == 0, done.stderr
    with Image.open(root / "4.png") as picture:
        assert picture.width == 4 * 300
        dark = np.asarray(picture.convert("L"))[:, 200:] < 250
        gaps = np.flatnonzero(np.diff(np.concatenate([[0], dark.any(axis=1).astype(int)])) == 1)
        assert 2 <= len(gaps) <= 4  # two rows, and their captions where a gap is above them
    with Image.open(root / "2.png") as picture:
        assert picture.width == 2 * 300


def test_generated_pictures_are_called_so_in_the_file(figure: Run, root: Path) -> None:
    assert figure("poses", "--out", "p.png").exit_code == 0
    with Image.open(root / "p.png") as picture:
        assert "synthetic" in picture.info["Description"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ranked", "--out", "x.jpg"), ".png, .pdf, .svg"),
        (("table", "--out", "x.pdf"), ".tex"),
        (("cmc", "--variant", "nfcc"), "no variant 'nfcc' was scored"),
        (("ranked", "--image", "query/none"), "query/none"),
        (("poses", "--image", "gallery/none"), "no drawings"),
    ],
)
def test_what_cannot_be_drawn_is_said_and_leaves_no_file(
    figure: Run, root: Path, arguments: tuple[str, ...], words: str
) -> None:
    before = set(root.iterdir())
    done = figure(*arguments)
    assert done.exit_code == 2
    assert words in re.sub(r"[\s│]+", " ", done.stderr)
    assert set(root.iterdir()) == before


@pytest.mark.parametrize("command", [["figure", "cmc"], ["tune"], ["ablate"]])
def test_without_the_plotting_library_the_extra_is_named_at_once(
    command: list[str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    monkeypatch.setattr("pose2id.extras.find_spec", lambda name: None)
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert "matplotlib, which is not installed" in done.stderr
    assert "'.[figures]'" in done.stderr
