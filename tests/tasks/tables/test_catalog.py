import hashlib

import duckdb
import pytest

from pose2id.errors import DataError
from tasks.tables.catalog import build_catalog, connect, create_views, fill_paths, read_statements
from tasks.tables.schema import Layout
from tests.tasks.factory import Spec, write_project

SPLITS = ("query", "gallery")
BY_OTHER_COMMANDS = {"ablation", "runs", "tuning"}  # their files are no outs of the stages


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("catalog")
    write_project(root, Spec(identities=3))
    return Layout(root)


def test_every_table_of_a_finished_run_has_a_view(project):
    catalog = build_catalog(project, SPLITS)
    assert set(catalog.views) == {
        *("index", "rejects", "keypoints", "poses", "generated", "features", "quality"),
        *("expectations", "centralized", "summary", "compared", "cmc", "queries"),
        *("identities", "rankings"),
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


def test_connect_reads_them_from_anywhere(project, monkeypatch, tmp_path):
    build_catalog(project, SPLITS)
    monkeypatch.chdir(tmp_path)
    with connect(project.database, project.root, read_only=True) as connection:
        assert connection.sql("SELECT count(*) FROM queries").fetchall() == [(12,)]
        install = "SELECT value FROM duckdb_settings() WHERE name = 'autoinstall_known_extensions'"
        assert connection.sql(install).fetchall() == [("false",)]


def test_another_project_in_the_working_directory_is_not_mixed_up(project, monkeypatch, tmp_path):
    write_project(tmp_path, Spec(identities=2, dim=4))
    monkeypatch.chdir(tmp_path)
    build_catalog(project, SPLITS)
    with connect(None, tmp_path) as connection:
        create_views(connection, project, SPLITS, f"{project.root}/")
        assert connection.sql("SELECT DISTINCT len(feature) FROM features").fetchall() == [(16,)]
    monkeypatch.chdir(project.root)
    with connect(project.database, project.root) as connection:
        assert connection.sql("SELECT DISTINCT len(feature) FROM features").fetchall() == [(16,)]


def test_index_does_not_swallow_the_rejects_beside_it(project, monkeypatch):
    monkeypatch.chdir(project.root)
    build_catalog(project, SPLITS)
    with connect(project.database, project.root) as connection:
        assert connection.sql("SELECT count(*) FROM rejects").fetchall() == [(2,)]
        assert connection.sql('SELECT count(*) FROM "index" WHERE image_id IS NULL').fetchall() == [
            (0,)
        ]


def test_variants_of_different_width_are_one_view(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, Spec(identities=2, dim=8))
    wide = Layout(tmp_path).centralized("query") / "ipg.parquet"
    other = tmp_path / "other"
    write_project(other, Spec(identities=2, dim=24))
    (Layout(other).centralized("query") / "ipg.parquet").replace(wide)
    build_catalog(Layout(tmp_path), SPLITS)
    with connect(Layout(tmp_path).database, tmp_path) as connection:
        widths = "SELECT DISTINCT len(feature) FROM centralized ORDER BY 1"
        assert connection.sql(widths).fetchall() == [(8,), (24,)]


def test_views_without_files_are_left_out_and_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, Spec(identities=2))
    (tmp_path / "data/results/rankings.parquet").unlink()
    (tmp_path / "data/index/gallery.parquet").unlink()
    catalog = build_catalog(Layout(tmp_path), SPLITS)
    assert set(catalog.left_out) == {"rankings", *BY_OTHER_COMMANDS}
    with connect(catalog.path, tmp_path) as connection:
        assert connection.sql('SELECT DISTINCT split FROM "index"').fetchall() == [("query",)]


def test_an_open_reader_survives_a_rebuild(project, monkeypatch):
    monkeypatch.chdir(project.root)
    build_catalog(project, SPLITS)
    before = project.database.stat().st_ino
    with connect(project.database, project.root, read_only=True) as reader:
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
