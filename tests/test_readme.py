"""The README says what is so: its commands exist, its links lead somewhere, its SQL has answers."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli.query import answer
from flows.cli.questions import read_questions
from tasks.tables.questions import open_for_questions
from tasks.tables.schema import Layout
from tests.conftest import ROOT
from tests.tasks.factory import Spec, write_project

README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SQL = re.findall(r"```sql\n(.+?)\n```", README, re.DOTALL)
COMMANDS = sorted(
    {
        (module, *re.findall(r"--[a-z][a-z-]+", rest))
        for document in DOCUMENTS
        for module, rest in re.findall(
            r"python -m ((?:flows|benchmarks)\.\w+)([^`\n|#]*)",
            document.read_text(encoding="utf-8"),
        )
    }
)


def test_the_ten_questions_are_those_of_the_command():
    assert [question.sql for question in read_questions()] == SQL
    assert all(f"**{question.text}**" in README for question in read_questions())
    assert all(f"flows.cli.query {question.name}" in README for question in read_questions())


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
    missing = [
        target for target in targets if not (document.parent / target.partition("#")[0]).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_and_their_options_exist(command: tuple[str, ...]):
    module, *options = command
    if module.startswith("flows.") and hasattr(importlib.import_module(module), "app"):
        text = _help(module)
        commands = text.partition("Commands")[2]
        for name in re.findall(r"^\W*([a-z]+)  ", commands, re.MULTILINE):
            text += _help(module, name)
    else:
        text = Path(ROOT, *module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    assert [option for option in options if option not in text] == []


def _help(module: str, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *command, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", "COLUMNS": "200", "TERM": "dumb"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
