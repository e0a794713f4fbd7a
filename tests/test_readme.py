"""The README says what is so: its commands exist, its links lead somewhere, its SQL has answers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from typer.main import get_command

from flows.cli.main import app
from flows.cli.query import answer
from flows.cli.questions import read_questions
from tasks.tables.questions import open_for_questions
from tasks.tables.schema import Layout
from tests.conftest import ROOT
from tests.tasks.factory import Spec, write_project

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = re.compile(r"```\w*\n.+?\n```|^    [^\n]+|`[^`\n]+`", re.DOTALL | re.MULTILINE)
SQL = re.findall(r"```sql\n(.+?)\n```", README, re.DOTALL)
USES = sorted(
    {
        (command, *re.findall(r"--[a-z][a-z-]+", rest))
        for document in DOCUMENTS
        for command, rest in re.findall(
            r"((?<!from )pose2id (?!import)[a-z]+|python -m benchmarks\.\w+)([^`\n|#]*)",
            "\n".join(CODE.findall(document.read_text(encoding="utf-8"))),
        )
    }
)


def test_the_questions_are_those_of_the_command():
    assert [question.sql for question in read_questions()] == SQL
    assert all(f"**{question.text}**" in README for question in read_questions())
    assert all(f"pose2id query {question.name}" in README for question in read_questions())


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("readme")
    params = write_project(root, Spec(noise=2.5))
    with open_for_questions(Layout(root), params.splits) as connection:
        yield connection


@pytest.mark.parametrize("sql", SQL, ids=[question.name for question in read_questions()])
def test_every_question_runs(connection, sql: str):
    columns, rows = answer(connection, sql)
    assert columns
    assert all(len(row) == len(columns) for row in rows)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path):
    targets = re.findall(r"\]\((?!https?://|#)([^)]+)\)", document.read_text(encoding="utf-8"))
    found = {target: document.parent / target.partition("#")[0] for target in targets}
    drawn = {ROOT / "docs/pictures/dag.svg"}  # by `make docs`, from dvc.yaml
    assert [name for name, path in found.items() if path not in drawn and not path.exists()] == []


@pytest.mark.parametrize("use", USES, ids=" ".join)
def test_commands_and_their_options_exist(use: tuple[str, ...]):
    command, *options = use
    program, name = command.split()[0], command.split()[-1]
    if program == "pose2id":
        text = helps(name)
    else:
        text = Path(ROOT, *name.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    assert [option for option in options if option not in text] == []


def helps(name: str) -> str:
    """The help of a command and of the commands below it."""
    listed = get_command(app).get_command(None, name)
    assert listed is not None, name
    command = get_command(import_module(f"flows.cli.{name}").app)
    below = getattr(command, "commands", {}).values()
    return "".join(" ".join(one.opts) for each in (command, *below) for one in each.params)


def test_the_lines_for_a_test_loop_and_the_ten_lines_alone_run(capsys: pytest.CaptureFixture[str]):
    section = README.partition("## In your own code")[2].partition("\n## ")[0]
    transreid, fastreid, alone = re.findall(r"```python\n(.+?)```", section, re.DOTALL)
    feats = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    loop = {"qf": feats[:3], "gf": feats[3:]}
    exec(transreid, loop)
    other = {"query_features": feats[:3], "gallery_features": feats[3:]}
    exec(fastreid, other)
    assert torch.equal(loop["qf"], other["query_features"])
    assert torch.allclose(loop["gf"].norm(dim=1), torch.ones(5))
    exec(alone, {})
    found = re.fullmatch(r"mAP (0\.\d+), Rank-1 (\d\.\d+)\n", capsys.readouterr().out)
    assert found
    assert float(found[1]) > 0.5


@pytest.mark.skipif(
    not (ROOT / "data/centralized/gallery").is_dir(), reason="needs the tables of `make demo`"
)
def test_the_search_that_the_readme_shows_finds_the_right_person():
    (line,) = re.findall(r"^pose2id search .*$", README, re.MULTILINE)
    command = [sys.executable, "-m", *line.split(), "--json"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    (found,) = json.loads(done.stdout)
    assert len(found["hits"]) == 10
    assert found["hits"][0]["is_match"]
    assert found["hits"][0]["pid"] == found["query_pid"]
