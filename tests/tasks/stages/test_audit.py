"""The audit's tables: planted copies and labels are in them, what was kept is not."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pose2id.errors import ParamsError
from tasks.stages import audit
from tasks.tables import schema
from tasks.tables.params import Params
from tasks.tables.schema import Layout
from tasks.tables.store import read_table, vector_column, vectors, write_table
from tests.tasks.factory import Spec, params_of, write_project

SPEC = Spec(identities=12, gallery_per_identity=6, noise=0.4, poses=1)


def run(root: Path, params: Params) -> tuple[list[dict], list[dict], tuple[str, ...]]:
    (job,) = audit.plan(params, root, "")
    notes = audit.run_shard(job).notes
    layout = Layout(root)
    tables = [read_table(path) for path in (layout.label_errors, layout.near_duplicates)]
    return *(table.to_pylist() for table in tables), notes


@pytest.fixture
def project(tmp_path: Path) -> tuple[Path, Params, str]:
    """A project with one gallery image of person 5 under person 9, and a copy of a query."""
    params = write_project(tmp_path, SPEC)
    layout = Layout(tmp_path)
    index = read_table(layout.index("gallery")).to_pylist()
    wrong = next(row for row in index if row["pid"] == 5)
    wrong["pid"] = 9
    write_table(
        layout.index("gallery"), pa.Table.from_pylist(index, schema=schema.INDEX), producer="index"
    )
    query, gallery = (layout.centralized(name) / "base.parquet" for name in ("query", "gallery"))
    table = read_table(gallery)
    features = vectors(table)
    features[-1] = vectors(read_table(query))[3]
    changed = table.set_column(2, table.schema.field("feature"), vector_column(features))
    write_table(gallery, changed, producer="c" * 64)
    return tmp_path, params, wrong["image_id"]


def test_wrong_labels_and_leaks_are_listed_twice_alike(project: tuple[Path, Params, str]) -> None:
    root, params, wrong = project
    errors, copies, notes = run(root, params)
    assert (errors[0]["kind"], errors[0]["image_id"]) == ("wrong_person", wrong)
    assert (errors[0]["pid"], errors[0]["other_pid"]) == (9, 5)
    assert copies[0]["between_splits"]
    assert copies[0]["similarity"] == pytest.approx(1.0)
    assert copies[0]["image_id"].startswith("query/")
    assert notes[0].endswith("doubtful labels by ipg")
    layout = Layout(root)
    before = [path.read_bytes() for path in (layout.label_errors, layout.near_duplicates)]
    run(root, params)
    assert before == [p.read_bytes() for p in (layout.label_errors, layout.near_duplicates)]


def test_what_was_looked_at_and_kept_is_not_listed_again(
    project: tuple[Path, Params, str],
) -> None:
    root, params, wrong = project
    _, copies, _ = run(root, params)
    query = copies[0]["image_id"]
    Layout(root).corrections.write_text(f"image_id,action\n{wrong},keep\n{query},keep\n")
    errors, copies, _ = run(root, params)
    assert wrong not in {row["image_id"] for row in errors}
    assert query not in {row["image_id"] for row in copies}


def test_a_variant_that_joins_neighbours_is_taken_only_where_it_is_named() -> None:
    assert params_of(Spec()).audited_variant == "ipg"
    assert params_of(Spec(), audit={"variant": "nfc"}).audited_variant == "nfc"
    with pytest.raises(ParamsError, match=r"audit\.variant is 'ipgg'"):
        params_of(Spec(), audit={"variant": "ipgg"})


def test_a_set_without_labels_has_no_wrong_ones(tmp_path: Path) -> None:
    errors, _, _ = run(tmp_path, write_project(tmp_path, Spec(labels=False, has_cameras=False)))
    assert errors == []
