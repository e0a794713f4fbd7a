"""Every byte of a table counts: one that is not what was written is refused, never believed."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.tables import schema
from tasks.tables.aside import read_kept
from tasks.tables.seal import DamagedTableError, open_sealed, seal_of, state_of, table_schema
from tasks.tables.store import read_table, vector_column, write_table


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    rows = pa.table(
        {
            "image_id": [f"query/{i:04d}" for i in range(20)],
            "pose_id": pa.array([-1] * 20, pa.int16()),
            "feature": vector_column(rng.standard_normal((20, 4)).astype(np.float32)),
            "key": [f"{i:064x}" for i in range(20)],
        },
        schema=schema.features(4),
    )
    path = tmp_path_factory.mktemp("table") / "whole.parquet"
    write_table(path, rows, producer="p")
    return path


def test_a_sealed_table_is_one_that_every_reader_of_parquet_reads(table: Path) -> None:
    assert state_of(table) == "sealed"
    assert pq.read_table(table).num_rows == read_table(table).num_rows == 20
    assert table_schema(table).metadata[b"pose2id.producer"] == b"p"
    assert len(seal_of(table) or "") == 32


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_flipped_bit_is_refused_whatever_is_read(
    table: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(table.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("flip") / "part.parquet"
    path.write_bytes(content)
    if state_of(path) == "none":  # the seal's own name was hit: the rows are whole
        assert read_table(path).equals(read_table(table))
        with pytest.raises(DamagedTableError):
            open_sealed(path, strict=True)
        return
    for read in (read_table, table_schema, lambda p: read_table(p, ["image_id"])):
        with pytest.raises(DamagedTableError, match=r"part\.parquet is damaged"):
            read(path)


def test_what_is_cut_or_foreign_is_refused_with_what_to_do(table: Path, tmp_path: Path) -> None:
    whole = table.read_bytes()
    contents = [
        b"",
        whole[:10],
        whole[: len(whole) // 2],
        bytes(len(whole)),
        whole[1:],
        b"%PDF-1.7",
    ]
    for number, content in enumerate([*contents, whole + b"x", b"PAR1" * 20]):
        path = tmp_path / f"{number}.parquet"
        path.write_bytes(content)
        with pytest.raises(DamagedTableError, match="Delete it, then run the pipeline again"):
            read_table(path)
        assert read_kept(path, tmp_path) is None
        assert not path.exists()
        assert (tmp_path / "damaged" / path.name).exists()


def test_a_table_of_an_earlier_release_is_read_but_not_believed_in_the_cache(
    tmp_path: Path,
) -> None:
    path = tmp_path / "old.parquet"
    pq.write_table(pa.table({"key": ["x"]}), path)
    assert read_table(path).num_rows == 1
    assert read_kept(path, tmp_path) is None


def test_a_worker_process_can_send_the_error(tmp_path: Path) -> None:
    error = pickle.loads(pickle.dumps(DamagedTableError(tmp_path / "x.parquet", "cut")))
    assert (error.path, error.reason) == (tmp_path / "x.parquet", "cut")
