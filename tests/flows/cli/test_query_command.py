import csv
import io
import json
import subprocess
import sys

import pytest
import yaml
from typer.testing import CliRunner

from flows.cli.main import app
from flows.cli.questions import read_questions
from tasks.tables.catalog import build_catalog
from tasks.tables.schema import Layout
from tests.tasks.factory import Spec, write_project

QUESTIONS = read_questions()
SPEC = Spec(noise=2.5)


def project_with(root, spec):
    params = write_project(root, spec)
    text = yaml.safe_dump(params.model_dump(mode="json", by_alias=True))
    (root / "params.yaml").write_text(text)
    return root


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return project_with(tmp_path_factory.mktemp("query"), SPEC)


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    spec = Spec(identities=2, gallery_per_identity=1, poses=1, labels=False, has_cameras=False)
    return project_with(tmp_path_factory.mktemp("unlabelled"), spec)


@pytest.fixture
def ask(project, monkeypatch):
    monkeypatch.chdir(project)

    def run(*arguments):
        return CliRunner().invoke(app, ["query", *arguments])

    return run


def rows_of(ask, question):
    result = ask(question, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_named_questions_read_like_questions():
    assert len({question.name for question in QUESTIONS}) == len(QUESTIONS)
    assert all(question.text.endswith("?") for question in QUESTIONS)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_every_named_question_has_an_answer(ask, question):
    rows = rows_of(ask, question.name)
    if question.name != "most-lost":  # in this project nobody loses
        assert rows
    assert ask(question.name, "--sql").stdout.strip() == question.sql


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_every_question_works_without_labels(unlabelled, monkeypatch, question):
    monkeypatch.chdir(unlabelled)
    result = CliRunner().invoke(app, ["query", question.name])
    assert result.exit_code == 0, result.stderr


def test_worst_queries_come_lowest_first(ask):
    aps = [row["ap"] for row in rows_of(ask, "worst-queries")]
    assert aps == sorted(aps)
    assert len(aps) == SPEC.identities


def test_gains_and_losses_are_differences_of_the_same_query(ask):
    gained, lost = rows_of(ask, "most-gained"), rows_of(ask, "most-lost")
    assert all(row["gain"] == row["ap_best"] - row["ap_base"] > 0 for row in gained)
    assert not {row["query_id"] for row in gained} & {row["query_id"] for row in lost}


def test_confusions_name_two_different_persons(ask):
    rows = rows_of(ask, "confusions")
    assert all(row["pid"] != row["taken_for"] and row["taken_for"] != 0 for row in rows)


def test_rejected_pictures_are_counted_by_reason(ask):
    counted = sum(row["n_pictures"] for row in rows_of(ask, "rejected-pictures"))
    plain = rows_of(ask, "SELECT count(*) AS n FROM quality WHERE NOT accepted")
    assert counted == plain[0]["n"] > 0


def test_no_database_file_is_needed_or_made(ask, project):
    Layout(project).database.unlink(missing_ok=True)
    assert rows_of(ask, "SELECT count(*) AS n FROM summary") == [{"n": 4}]
    assert not Layout(project).database.exists()


HOLD = """
import duckdb, sys
connection = duckdb.connect("data/pose2id.duckdb")
print("open", flush=True)
sys.stdin.read()
"""


def test_a_question_is_answered_while_someone_else_has_the_database_open(ask, project):
    build_catalog(Layout(project), ("query", "gallery"))
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert other.stdout.readline() == b"open\n"
        assert rows_of(ask, "SELECT count(*) AS n FROM runs") == [{"n": 0}]
    finally:
        other.communicate()


def test_cells_of_a_csv_are_never_formulas(ask):
    sql = "SELECT '=1+1' AS a, '+1' AS b, '-x' AS c, '@x' AS d, chr(9) || '=1' AS e, chr(13) AS f"
    cells = next(csv.reader(ask(sql, "--csv").stdout.splitlines()[1:]))
    assert cells == ["'=1+1", "'+1", "'-x", "'@x", "?=1", "?"]
    assert ask('SELECT -1 AS a, 1 AS "=b"', "--csv").stdout == "a,'=b\n-1,1\n"


def test_text_csv_and_json_hold_the_same_rows(ask):
    sql = 'SELECT image_id, pid, distractor FROM "index" ORDER BY 1'
    from_json = rows_of(ask, sql)
    from_csv = list(csv.DictReader(io.StringIO(ask(sql, "--csv").stdout)))
    from_text = [line.split() for line in ask(sql, "--limit", "0").stdout.splitlines()[1:]]
    ids = [row["image_id"] for row in from_json]
    assert len(ids) == 33
    assert [row["image_id"] for row in from_csv] == ids
    assert [line[0] for line in from_text] == ids
    assert [int(row["pid"]) for row in from_csv] == [row["pid"] for row in from_json]


def test_values_that_json_lacks_are_replaced(ask):
    sql = "SELECT 'nan'::DOUBLE AS a, 'ab'::BLOB AS b, DATE '2024-02-29' AS c, [1.5, NULL] AS d"
    assert rows_of(ask, sql) == [{"a": None, "b": "YWI=", "c": "2024-02-29", "d": [1.5, None]}]
    assert ask(sql, "--csv").stdout.splitlines()[1] == ',YWI=,2024-02-29,"[1.5, null]"'


def test_columns_of_the_same_name_are_kept_apart(ask):
    assert rows_of(ask, "SELECT 1 AS pid, 2 AS pid") == [{"pid": 1, "pid_2": 2}]


def test_long_tables_stop_and_say_so(ask):
    result = ask("FROM range(1000)")
    assert len(result.stdout.splitlines()) == 51
    assert "the first 50 rows; --limit 0 prints all" in result.stderr
    assert len(ask("FROM range(1000)", "--limit", "0").stdout.splitlines()) == 1001
    assert len(ask("FROM range(5000)", "--csv").stdout.splitlines()) == 5001
    assert len(ask("FROM range(1000)", "--csv", "--limit", "3").stdout.splitlines()) == 4


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT nothing FROM summary", 'Referenced column "nothing" not found'),
        ("SELECT * FROM sumary", 'Did you mean "summary"?'),
        ('SELECT CAST(image_id AS INT) FROM "index"', "Could not convert string"),
    ],
)
def test_an_error_in_the_sql_is_one_message(ask, sql, message):
    result = ask(sql)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: this SQL does not work")
    assert message in result.stderr
    assert "The views are centralized, " in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO 'stolen.csv'",
        "CREATE VIEW mine AS SELECT 1",
        "DROP VIEW summary",
        "ATTACH 'other.duckdb' AS other",
        "INSTALL httpfs",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'stolen.csv'",
        "SELECT 1; DROP VIEW summary",
        "/* nothing but a remark */",
    ],
)
def test_nothing_but_one_question_is_run(ask, project, sql):
    result = ask(sql)
    assert result.exit_code == 2
    assert "a question is one SELECT" in result.stderr
    assert not list(project.glob("stolen*"))
    assert not list(project.glob("other*"))


def test_an_unknown_name_lists_the_known_ones(ask):
    result = ask("worst")
    assert result.exit_code == 2
    assert "there is no question 'worst'; the questions are results, worst-queries" in result.stderr


def test_without_a_question_the_questions_are_listed(ask):
    assert ask().stdout == ask("--list").stdout
    assert "For which queries does retrieval still fail" in ask().stdout


def test_csv_and_json_exclude_each_other(ask):
    assert ask("results", "--csv", "--json").exit_code == 2


def test_outside_of_a_project_the_message_says_where_to_go(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["query", "results"])
    assert result.exit_code == 2
    assert "run from the project's root" in result.stderr
    assert list(tmp_path.iterdir()) == []
