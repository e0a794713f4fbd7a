"""Atomic tables, stable shards and the row cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pose2id.errors import DataError
from tasks.tables import schema, store


def rows(keys: list[str], dim: int = 3) -> pa.Table:
    return pa.table(
        {
            "image_id": [f"query/{key}" for key in keys],
            "pose_id": pa.array([-1] * len(keys), pa.int16()),
            "feature": store.vector_column(
                np.array([[len(k), ord(k[0]), 1] for k in keys], np.float32).reshape(-1, dim)
            ),
            "key": keys,
        },
        schema=schema.features(dim),
    )


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        store.write_table(tmp_path / f"{name}.parquet", rows(["x", "y"]), producer="p")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_the_producer_is_kept_in_the_file(tmp_path: Path) -> None:
    store.write_table(tmp_path / "a.parquet", rows(["x"]), producer="abc")
    assert pq.read_schema(tmp_path / "a.parquet").metadata[b"pose2id.producer"] == b"abc"


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half() -> None:
        with store.atomic_path(path) as temporary:
            temporary.write_text("new, but")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]


def test_a_half_written_part_is_never_read(tmp_path: Path) -> None:
    store.write_table(tmp_path / "part-0000.parquet", rows(["x"]), producer="p")
    (tmp_path / ".tmp-part.parquet").write_bytes(b"PAR1 half")
    assert store.read_table(tmp_path).num_rows == 1


def test_a_missing_table_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="dvc repro"):
        store.read_table(tmp_path / "nothing.parquet")


def test_vectors_survive_the_round_trip(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    table = pa.table({"feature": store.vector_column(values)})
    store.write_table(tmp_path / "v.parquet", table, producer="p")
    assert np.array_equal(store.vectors(store.read_table(tmp_path / "v.parquet")), values)


def test_an_empty_vector_column_has_its_width() -> None:
    assert store.vectors(schema.features(5).empty_table()).shape == (0, 5)


@given(st.text(min_size=1), st.integers(0, 6))
def test_a_shard_splits_into_its_halves_when_shards_double(image_id: str, bits: int) -> None:
    coarse = store.shard_of(image_id, 2**bits)
    fine = store.shard_of(image_id, 2 ** (bits + 1))
    assert fine // 2 == coarse
    assert 0 <= coarse < 2**bits


def test_digests_do_not_collide_when_parts_move() -> None:
    assert store.sha256_hex("ab", "c") != store.sha256_hex("a", "bc")
