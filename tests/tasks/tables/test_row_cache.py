"""The row cache: found by key for any number of shards, own rows first, damage put aside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tasks.tables import cache as housekeeping
from tasks.tables import schema
from tasks.tables.row_cache import COMPACT_AT, RowCache
from tasks.tables.store import read_table, vector_column, write_table

HERE = "cpu here"


def rows(keys: list[str], value: float = 1.0) -> pa.Table:
    return pa.table(
        {
            "image_id": [f"query/{key}" for key in keys],
            "pose_id": pa.array([-1] * len(keys), pa.int16()),
            "feature": vector_column(np.full((len(keys), 3), value, np.float32)),
            "key": keys,
        },
        schema=schema.features(3),
    )


def value_of(cache: RowCache, key: str) -> float:
    found = cache.take([key])
    assert found is not None
    return float(found.column("feature")[0].as_py()[0])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / ".cache" / "features"


def test_rows_are_found_by_key_for_any_number_of_shards(root: Path) -> None:
    RowCache(root, "01", HERE).append(rows(["x", "y"]))
    for prefix in ("", "0", "01", "011"):
        assert RowCache(root, prefix, HERE).keys() == {"x", "y"}
    assert RowCache(root, "00", HERE).keys() == set()


def test_compaction_keeps_every_row(root: Path) -> None:
    cache = RowCache(root, "0", HERE)
    keys = [f"{chr(97 + i)}{i}" for i in range(COMPACT_AT + 3)]
    for key in keys:
        cache.append(rows([key]))
    cache.compact()
    assert len(list(cache.folder.glob("*.parquet"))) == 1
    found = cache.take(keys)
    assert found is not None
    assert sorted(found.column("key").to_pylist()) == sorted(keys)


def test_outs_are_assembled_in_id_order_under_present_names(root: Path) -> None:
    cache = RowCache(root, "", HERE)
    cache.append(rows(["old"]))
    table = cache.assemble({("query/b", -1): "old", ("query/a", 2): "old"}, schema.features(3))
    assert table.column("image_id").to_pylist() == ["query/a", "query/b"]
    assert table.column("pose_id").to_pylist() == [2, -1]


def test_rows_of_another_kind_of_machine_are_taken_only_if_they_were_brought(
    root: Path, tmp_path: Path
) -> None:
    RowCache(root, "", "cpu elsewhere").append(rows(["x"], 2.0))
    cache = RowCache(root, "", HERE)
    assert cache.keys() == set()
    write_table(tmp_path / "pulled.parquet", rows(["x", "y"], 3.0), producer="p")
    assert cache.bring(tmp_path / "pulled.parquet", "ab") == 2
    assert value_of(cache, "x") == 3.0
    cache.append(rows(["x"], 1.0))
    assert value_of(cache, "x") == 1.0  # own rows come first
    assert cache.bring(tmp_path / "pulled.parquet", "cd") == 0  # nothing is lacking


def test_a_damaged_table_is_not_brought(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "pulled.parquet"
    write_table(path, rows(["x"]), producer="p")
    flip(path, path.stat().st_size // 2)
    assert RowCache(root, "", HERE).bring(path, "ab") == 0


def flip(path: Path, position: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


def test_every_single_flipped_bit_is_noticed_and_the_segment_put_aside(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = RowCache(root, "", HERE)
    cache.append(rows(["x", "y"]))
    (segment,) = cache.folder.glob("*.parquet")
    whole = segment.read_bytes()
    step = max(1, len(whole) // 120)
    for number, position in enumerate(range(0, len(whole), step)):
        segment.write_bytes(whole)
        flip(segment, position, number % 8)
        caplog.clear()
        assert RowCache(root, "", HERE).keys() == set(), position
        assert str(segment) in caplog.text
        assert not segment.exists()
    aside = list((root.parent / "damaged").rglob("*.parquet"))
    assert len(aside) == len(range(0, len(whole), step)) >= 100


@pytest.mark.parametrize("damage", ["empty", "half", "zeros", "text", "folder", "foreign table"])
def test_what_lies_in_place_of_a_segment_is_put_aside(root: Path, damage: str) -> None:
    cache = RowCache(root, "", HERE)
    cache.append(rows(["x"]))
    (segment,) = cache.folder.glob("*.parquet")
    whole = segment.read_bytes()
    segment.unlink()
    if damage == "folder":
        segment.mkdir()
    elif damage == "foreign table":
        pa.parquet.write_table(pa.table({"key": ["x"]}), segment)
    else:
        contents = {"empty": b"", "half": whole[: len(whole) // 2], "zeros": bytes(len(whole))}
        segment.write_bytes(contents.get(damage, b"not a table"))
    assert cache.take(["x"]) is None
    assert not segment.exists()
    cache.append(rows(["x"]))
    assert cache.keys() == {"x"}
    (root.parent / "generated").mkdir()
    used = housekeeping.usage(schema.Layout(root.parents[1]))
    assert {item.kind: item.n_rows for item in used if item.n_rows} == {"features": 1}


def test_pruning_keeps_who_made_the_rows(root: Path) -> None:
    layout = schema.Layout(root.parents[1])
    RowCache(root, "", HERE).append(rows(["x", "y"]))
    assert housekeeping.forget(layout, "query/x") == 1
    assert RowCache(root, "", HERE).keys() == {"y"}
    (segment,) = root.rglob("*.parquet")
    assert read_table(segment).num_rows == 1
