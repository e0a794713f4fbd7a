"""The suite of the tables' form: columns, types and one producer per table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tasks.gates.running import Check, Suite
from tasks.tables import schema
from tasks.tables.params import Params
from tasks.tables.seal import table_schema

if TYPE_CHECKING:
    import pandas as pd

PRODUCER = b"pose2id.producer"
ABSENT = "absent"


def tables_suite(layout: schema.Layout, split: str, params: Params) -> Suite:
    """Every column of every file of a split against the schema; only footers are read."""
    shards = range(params.shards)
    return Suite(
        "tables",
        _frame([*_index_facts(layout, split), *_part_facts(layout, split, params, shards)]),
        (
            Check(
                "ExpectColumnPairValuesToBeEqual",
                {"column_A": "found", "column_B": "expected"},
                "wrong_schema",
                "fail",
            ),
        ),
        ("file", "column", "found"),
    )


def shard_fits(layout: schema.Layout, split: str, params: Params, shard: int) -> bool:
    """Whether the files that one shard reads have the form that they must have."""
    facts = [*_index_facts(layout, split), *_part_facts(layout, split, params, range(shard + 1))]
    return all(fact["found"] == fact["expected"] for fact in facts)


def producer_of(folder: Path) -> str:
    """Fingerprint of what made the parts of a folder."""
    metadata = table_schema(folder / "part-0000.parquet").metadata
    return str(metadata[PRODUCER].decode())


def _frame(facts: list[dict[str, str]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(facts)


def _index_facts(layout: schema.Layout, split: str) -> Iterator[dict[str, str]]:
    yield from _file_facts(layout.index(split), schema.INDEX, layout)
    yield from _file_facts(layout.rejects(split), schema.REJECTS, layout)


def _part_facts(
    layout: schema.Layout, split: str, params: Params, shards: range
) -> Iterator[dict[str, str]]:
    for folder, dim in ((layout.generated(split), 0), (layout.features(split), 1)):
        first: str | None = None
        expected = schema.GENERATED
        for shard in shards:
            path = folder / f"part-{shard:04d}.parquet"
            if dim and shard == 0:
                expected = schema.features(params.features.dim or _dim(path))
            yield from _file_facts(path, expected, layout)
            if path.is_file():
                found = (table_schema(path).metadata or {}).get(PRODUCER, b"").decode()
                first = found if first is None else first
                yield _fact(path, layout, "producer", first, found)


def _dim(path: Path) -> int:
    """Width of the features of a file, 1 where there are none to be found."""
    if not path.is_file():
        return 1
    found = table_schema(path)
    kind: Any = found.field("feature").type if "feature" in found.names else None
    return int(kind.list_size) if kind is not None and pa.types.is_fixed_size_list(kind) else 1


def _file_facts(path: Path, expected: pa.Schema, layout: schema.Layout) -> Iterator[dict[str, str]]:
    if not path.is_file():
        yield _fact(path, layout, "", "table", ABSENT)
        return
    found = table_schema(path)
    for name in dict.fromkeys([*expected.names, *found.names]):
        yield _fact(path, layout, name, _type(expected, name), _type(found, name))


def _type(table: pa.Schema, name: str) -> str:
    """Type of a column; the name that a list's item has in a file does not count."""
    if name not in table.names:
        return ABSENT
    kind: Any = table.field(name).type
    if pa.types.is_fixed_size_list(kind):
        return f"{kind.value_type}[{kind.list_size}]"
    return str(kind)


def _fact(
    path: Path, layout: schema.Layout, column: str, expected: str, found: str
) -> dict[str, str]:
    file = path.relative_to(layout.root).as_posix()
    return {"file": file, "column": column, "expected": expected, "found": found}
