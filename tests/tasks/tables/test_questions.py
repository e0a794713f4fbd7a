import shutil

import duckdb
import pytest

from pose2id.errors import DataError
from tasks.tables.questions import open_for_questions, reading_statement
from tasks.tables.schema import Layout
from tests.tasks.factory import Spec, write_project

SPLITS = ("query", "gallery")
COPY = "(COPY (SELECT 1) TO 'data/stolen.csv')"
WRITING = [
    f"WITH x AS {COPY} FROM x",
    f"WITH x AS MATERIALIZED {COPY} SELECT 1",
    f"WITH a AS (SELECT 1), x AS {COPY} SELECT * FROM a",
    "with x as (/* */ cOpY -- \n (select 1) to 'data/stolen.csv') from x",
    f"PIVOT poses ON pose_id IN (WITH x AS {COPY} SELECT 1) USING count(*)",
    "COPY (PIVOT poses ON pose_id USING count(*)) TO 'data/stolen.csv'",
    "WITH x AS (COPY poses TO 'data/poses.parquet') FROM x",
    "CREATE TABLE mine AS PIVOT poses ON pose_id USING count(*)",
    "CREATE TABLE mine AS SELECT 1",
    "EXPORT DATABASE 'data/stolen'",
    "ATTACH 'data/stolen.duckdb' AS stolen",
    "ATTACH ':memory:' AS other",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET lock_configuration = false",
    "RESET enable_external_access",
    "PRAGMA enable_profiling",
    "CALL enable_logging(storage_path = 'data/stolen')",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'data/stolen.csv'",
    f"EXPLAIN ANALYZE WITH x AS {COPY} FROM x",
    "CREATE SECRET s (TYPE s3)",
    "PREPARE p AS SELECT 1",
    "WITH x AS (INSERT INTO poses VALUES (1) RETURNING *) FROM x",
    "SELECT 1; SELECT 2",
]
READING = [
    "FROM read_text('{outside}')",
    "FROM read_blob('{outside}')",
    "FROM read_csv('{outside}')",
    "FROM read_json('{outside}')",
    "FROM read_parquet('{outside}')",
    "FROM '{outside}'",
    "FROM sniff_csv('{outside}')",
    "FROM parquet_metadata('{outside}')",
    "FROM parquet_kv_metadata('{outside}')",
    "FROM glob('{outside}*')",
    "FROM query('FROM read_text(''{outside}'')')",
    "SELECT (SELECT content FROM read_text('{outside}'))",
    "FROM read_text('file://{outside}')",
    "FROM read_text('data/../outside.csv')",
    "FROM read_text('data/../../outside.csv')",
    "FROM read_text('data/link.csv')",
    "FROM read_text('data/linked/outside.csv')",
    "FROM read_text(['data/poses.parquet', '{outside}'])",
    "FROM read_text('params.yaml')",
    "FROM read_text('/etc/passwd')",
    "FROM read_text('/proc/self/environ')",
    "FROM read_text('/proc/self/cwd/../outside.csv')",
    "FROM read_text('/dev/stdin')",
    "FROM read_csv('https://127.0.0.1:9/x.csv')",
    "FROM read_parquet('s3://bucket/x.parquet')",
    "FROM duckdb_secrets()",
    "SELECT getenv('HOME')",
    "FROM secret",
]
HARMLESS = [
    "SELECT count(*) FROM poses",
    "FROM summary",
    "WITH x AS (SELECT pose_id FROM poses) FROM x",
    "PIVOT summary ON variant USING max(mAP) GROUP BY protocol",
    "DESCRIBE summary",
    "SUMMARIZE summary",
    "SHOW TABLES",
    "VALUES ('copy'), ('delete')",
    'SELECT 1 AS "update" -- copy',
    "FROM read_parquet('data/poses.parquet')",
    "FROM glob('data/index/*.parquet')",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("questions") / "project"
    write_project(root, Spec(identities=2, poses=2))
    outside = root.parent / "outside.csv"
    outside.write_text("secret\n")
    (root / "outside.csv").write_text("secret\n")
    (root / "data/link.csv").symlink_to(outside)
    (root / "data/linked").symlink_to(outside.parent)
    return root


@pytest.fixture
def connection(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with open_for_questions(Layout(), SPLITS) as connection:
        yield connection


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*") if path.is_file()}


@pytest.mark.parametrize("sql", WRITING)
def test_nothing_is_written(folder, connection, sql):
    before = files_of(folder)
    with pytest.raises((DataError, duckdb.Error)):
        connection.execute(reading_statement(connection, sql)).fetchall()
    assert files_of(folder) == before


@pytest.mark.parametrize("sql", READING)
def test_no_other_file_is_read(folder, connection, sql):
    secret = ["a variable of Python"]  # what FROM secret would find
    sql = sql.format(outside=folder.parent / "outside.csv")
    with pytest.raises((DataError, duckdb.Error)):
        connection.execute(reading_statement(connection, sql)).fetchall()
    assert secret


@pytest.mark.parametrize("sql", [s for s in WRITING if "data/stolen" in s and "EXPL" not in s])
def test_duckdb_itself_would_not_write_outside_of_the_tables_folder(folder, connection, sql):
    with pytest.raises(duckdb.Error):
        connection.execute(sql.replace("data/stolen", f"{folder.parent}/stolen")).fetchall()
    assert not list(folder.parent.glob("stolen*"))


@pytest.mark.parametrize("sql", HARMLESS)
def test_every_form_of_a_question_works(connection, sql):
    assert connection.execute(reading_statement(connection, sql)).fetchall()


def test_tables_that_are_links_into_a_cache_are_read(folder, tmp_path, monkeypatch):
    root = tmp_path / "project"
    shutil.copytree(folder, root, symlinks=True)
    cache = tmp_path / "shared-cache"
    cache.mkdir()
    for number, file in enumerate(sorted((root / "data").rglob("*.parquet"))):
        file.replace(cache / str(number))
        file.symlink_to(cache / str(number))
    monkeypatch.chdir(root)
    with open_for_questions(Layout(), SPLITS) as connection:
        sql = "SELECT count(*) FROM features"
        assert connection.execute(reading_statement(connection, sql)).fetchall() != [(0,)]
