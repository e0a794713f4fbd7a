import hashlib
import shutil

import duckdb
import pytest

from pose2id.errors import DataError
from tasks.reporting.tables import open_tables
from tasks.tables.catalog import build_catalog, fill_paths, open_views, read_statements
from tasks.tables.questions import open_for_questions
from tasks.tables.schema import Layout
from tests.tasks.factory import Spec, write_project

SPLITS = ("query", "gallery")
BY_OTHER_COMMANDS = {"ablation", "tuning"}  # their files are no outs of the stages


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("catalog")
    write_project(root, Spec(identities=3))
    return Layout(root)


def test_every_table_of_a_finished_run_has_a_view(project):
    catalog = build_catalog(project, SPLITS)
    assert set(catalog.views) == {
        *("index", "rejects", "not_images", "keypoints", "poses", "generated", "features"),
        *("quality", "expectations", "centralized", "summary", "compared", "cmc", "queries"),
        *("identities", "rankings", "runs", "choice", "dropped", "label_errors", "near_duplicates"),
    }
    assert set(catalog.left_out) == BY_OTHER_COMMANDS


def test_views_are_read_with_plain_duckdb_from_the_root(project, monkeypatch):
    build_catalog(project, SPLITS)
    monkeypatch.chdir(project.root)
    with duckdb.connect("data/pose2id.duckdb", read_only=True) as connection:
        splits = connection.sql('SELECT split, count(*) FROM "index" GROUP BY 1 ORDER BY 1')
        assert splits.fetchall() == [("gallery", 15), ("query", 3)]
        count = "SELECT count(*) FROM generated WHERE split = 'query'"
        assert connection.sql(count).fetchall() == [(24,)]


def test_views_in_memory_are_read_from_anywhere(project, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with open_views(project, SPLITS) as (connection, made):
        assert "queries" in made
        assert connection.sql("SELECT count(*) FROM queries").fetchall() == [(12,)]
        install = "SELECT value FROM duckdb_settings() WHERE name = 'autoinstall_known_extensions'"
        assert connection.sql(install).fetchall() == [("false",)]


def test_another_project_in_the_working_directory_is_not_mixed_up(project, monkeypatch, tmp_path):
    write_project(tmp_path, Spec(identities=2, dim=4))
    monkeypatch.chdir(tmp_path)
    with open_views(project, SPLITS) as (connection, _):
        assert connection.sql("SELECT DISTINCT len(feature) FROM features").fetchall() == [(16,)]
    build_catalog(project, SPLITS)
    monkeypatch.chdir(project.root)
    with duckdb.connect("data/pose2id.duckdb", read_only=True) as connection:
        assert connection.sql("SELECT DISTINCT len(feature) FROM features").fetchall() == [(16,)]


ODD_NAMES = [
    *("a*b", "**", "a?b", "a[b]", "[a-z]", "[", "a]b", "a,b", "a\\b", "\\", "\\*", "a'b", 'a"b'),
    *("a b", "a\nb", "a\tb", "Köln-日本", "-dash", "a%20b", "a#b", "a$HOME", "~", "a{b,c}", "a;b"),
    *("a:b", "s3:", "http:", "a=b", "(a)", "a&b", "a|b", "x'); DROP VIEW y; --"),
]


@pytest.fixture(scope="module")
def odd_projects(tmp_path_factory):
    """Projects side by side, each a neighbour that another's name could match as a pattern."""
    root = tmp_path_factory.mktemp("odd")
    first = root / "axb"
    write_project(first, Spec(identities=2, dim=4, poses=1))
    for name in ["a", "b", "aab", *ODD_NAMES]:
        shutil.copytree(first, root / name)
    return root


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_project_in_an_oddly_named_folder_sees_its_own_rows_alone(
    odd_projects, monkeypatch, name
):
    layout = Layout(odd_projects / name)
    count = "SELECT count(*), count(DISTINCT image_id) FROM features WHERE pose_id = -1"
    with open_views(layout, SPLITS) as (connection, made):
        assert len(made) >= 13
        assert connection.sql(count).fetchall() == [(13, 13)]
        assert connection.sql("SELECT count(*) FROM poses").fetchall() == [(1,)]
    build_catalog(layout, SPLITS)
    monkeypatch.chdir(layout.root)
    if "\\" not in name:  # DuckDB by itself opens no file below such a folder
        with duckdb.connect("data/pose2id.duckdb", read_only=True) as connection:
            assert connection.sql(count).fetchall() == [(13, 13)]
    with open_for_questions(Layout(), SPLITS) as connection:
        assert connection.sql(count).fetchall() == [(13, 13)]
        assert connection.sql("FROM read_parquet('data/poses.parquet')").fetchall()


def test_the_reports_tables_count_an_oddly_named_projects_rows(odd_projects, tmp_path):
    params = write_project(tmp_path, Spec(identities=2, dim=4, poses=1))
    for name in ("a*b", "[a-z]", "a,b", "\\*"):
        scratch = odd_projects / name / "scratch"
        scratch.mkdir()
        with open_tables(Layout(scratch.parent), params, scratch) as tables:
            assert [tables.count(view) for view in ("index", "features")] == [13, 26]


def test_index_does_not_swallow_the_rejects_beside_it(project):
    with open_views(project, SPLITS) as (connection, _):
        assert connection.sql("SELECT count(*) FROM rejects").fetchall() == [(2,)]
        assert connection.sql('SELECT count(*) FROM "index" WHERE image_id IS NULL').fetchall() == [
            (0,)
        ]


def test_variants_of_different_width_are_one_view(tmp_path):
    write_project(tmp_path, Spec(identities=2, dim=8))
    wide = Layout(tmp_path).centralized("query") / "ipg.parquet"
    other = tmp_path / "other"
    write_project(other, Spec(identities=2, dim=24))
    (Layout(other).centralized("query") / "ipg.parquet").replace(wide)
    with open_views(Layout(tmp_path), SPLITS) as (connection, _):
        widths = "SELECT DISTINCT len(feature) FROM centralized ORDER BY 1"
        assert connection.sql(widths).fetchall() == [(8,), (24,)]


def test_views_without_files_are_left_out_and_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, Spec(identities=2))
    (tmp_path / "data/results/rankings.parquet").unlink()
    (tmp_path / "data/index/gallery.parquet").unlink()
    catalog = build_catalog(Layout(tmp_path), SPLITS)
    assert set(catalog.left_out) == {"rankings", *BY_OTHER_COMMANDS}
    with open_views(Layout(tmp_path), SPLITS) as (connection, _):
        assert connection.sql('SELECT DISTINCT split FROM "index"').fetchall() == [("query",)]


def test_an_open_reader_survives_a_rebuild(project, monkeypatch):
    monkeypatch.chdir(project.root)
    build_catalog(project, SPLITS)
    before = project.database.stat().st_ino
    with duckdb.connect("data/pose2id.duckdb", read_only=True) as reader:
        build_catalog(project, SPLITS)
        assert reader.sql("SELECT count(*) FROM queries").fetchall() == [(12,)]
    assert project.database.stat().st_ino != before
    assert not list(project.data.glob(".tmp-*"))


def test_the_file_is_not_byte_deterministic_so_it_must_not_be_versioned(project):
    digests = set()
    for _ in range(2):
        path = build_catalog(project, SPLITS).path
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 2


def test_a_broken_table_gives_an_error_that_names_the_view(tmp_path):
    write_project(tmp_path, Spec(identities=2))
    (tmp_path / "data/poses.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match="'poses'"):
        build_catalog(Layout(tmp_path), SPLITS)


def test_only_views_may_stand_in_the_file(tmp_path):
    (tmp_path / "views.sql").write_text("DROP TABLE x;")
    with pytest.raises(DataError, match="only CREATE VIEW"):
        read_statements(tmp_path / "views.sql")
    with pytest.raises(DataError, match="there is no"):
        read_statements(tmp_path / "missing.sql")


def test_paths_become_lists_of_what_exists(project):
    sql = fill_paths("FROM 'data/index/{split}.parquet'", project.root, ["query", "train"])
    assert sql == "FROM ['data/index/query.parquet']"
