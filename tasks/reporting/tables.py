"""Questions to the project's tables by DuckDB, within a fixed amount of memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pose2id.datasets.images import read_indexed
from pose2id.errors import DataError, Pose2IdError
from tasks.tables.catalog import open_views, plain_path
from tasks.tables.params import Params
from tasks.tables.schema import TABLE_FOLDERS, Layout
from tasks.tables.seal import check, open_sealed, table_schema

if TYPE_CHECKING:
    import duckdb

log = logging.getLogger(__name__)

DUCKDB_MEMORY = "256MB"
BATCH_ROWS = 4096
# Where the files of the tables with a fingerprint are, below data/.
FILES = {
    "index": "index/{split}.parquet",
    "poses": "poses.parquet",
    "generated": "generated/{split}/part-*.parquet",
    "features": "features/{split}/part-*.parquet",
    "quality": "quality/{split}.parquet",
    "centralized": "centralized/{split}/*.parquet",
    "summary": "results/summary.parquet",
}
Row = dict[str, Any]


@dataclass(frozen=True)
class Tables:
    """The tables of one project: SQL over the views of `data/views.sql`, and vectors by id."""

    layout: Layout
    params: Params
    views: frozenset[str]
    connection: duckdb.DuckDBPyConnection

    def rows(self, sql: str, *values: object) -> list[Row]:
        """All rows of a query as dictionaries; the query must state its order."""
        cursor = self.connection.execute(sql, list(values))
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def stream(self, sql: str, *values: object, n_rows: int) -> Iterator[Row]:
        """The rows of a query, `n_rows` in memory at a time; the query must state its order."""
        cursor = self.connection.cursor().execute(sql, list(values))
        names = [column[0] for column in cursor.description or []]
        while rows := cursor.fetchmany(n_rows):
            yield from (dict(zip(names, row, strict=True)) for row in rows)

    def count(self, view: str) -> int:
        """How many rows a view has; 0 where it has no files."""
        return (
            int(self.rows(f'SELECT count(*) AS n FROM "{view}"')[0]["n"])
            if view in self.views
            else 0
        )

    def refuse_older(self, view: str, wanted: pa.Schema) -> None:
        """Refuses a view that lacks columns which the report shows.

        Raises:
            DataError: An earlier version made its table.
        """
        if view not in self.views:
            return
        description = self.connection.execute(f'FROM "{view}" LIMIT 0').description or []
        there = {column[0] for column in description}
        missing = [name for name in wanted.names if name not in there]
        if missing:
            raise DataError(
                f"the table {view} lacks the columns {', '.join(missing)}: an earlier version of "
                "Pose2ID made it. Run the pipeline, which makes it again: dvc repro"
            )

    def producers(self, view: str) -> list[str]:
        """Fingerprints of what made the files of a view, as their metadata names them."""
        found: set[str] = set()
        for split in self.params.splits:
            for file in sorted(self.layout.data.glob(FILES[view].format(split=split))):
                metadata = table_schema(file).metadata or {}
                found.add(metadata.get(b"pose2id.producer", b"unknown").decode())
        return sorted(found)

    def original(self, row: Row) -> bytes | None:
        """The bytes of an original, by its path and sha256 in the index.

        `None` where the file is gone, lies outside the dataset, or is another one by now.
        """
        relative = Path(row["path"])
        if relative.is_absolute() or ".." in relative.parts:
            return None
        try:
            root = self.layout.root / self.params.dataset.root
            return read_indexed(root, row["path"], row["sha256"])
        except Pose2IdError as error:
            log.warning("report: no thumbnail: %s", error)
            return None

    def centralized(
        self, split: str, variant: str, image_ids: Sequence[str]
    ) -> tuple[list[str], NDArray[np.float32]]:
        """Centralized features of some images, read batch by batch.

        Args:
            split: Name of the split.
            variant: Name of the variant.
            image_ids: The images, each once; those without a feature are left out.

        Returns:
            The ids found, in the table's order, and their features `(N, D) float32`.
        """
        wanted = pa.array(image_ids, pa.string())
        ids: list[str] = []
        with open_sealed(self.layout.centralized(split) / f"{variant}.parquet") as file:
            dim = file.schema_arrow.field("feature").type.list_size
            features = np.empty((len(image_ids), dim), np.float32)
            for batch in file.iter_batches(BATCH_ROWS, columns=["image_id", "feature"]):
                found = batch.filter(pc.is_in(batch.column("image_id"), value_set=wanted))
                flat = found.column("feature").flatten().to_numpy(zero_copy_only=False)
                features[len(ids) : len(ids) + len(found)] = flat.reshape(-1, dim)
                ids += found.column("image_id").to_pylist()
        return ids, features[: len(ids)]


@contextmanager
def open_tables(layout: Layout, params: Params, scratch: Path) -> Iterator[Tables]:
    """Opens the project's tables for reading.

    Args:
        layout: The project.
        params: Its parameters.
        scratch: Existing folder for what does not fit in memory.

    Yields:
        The tables.

    Raises:
        DamagedTableError: A table is not what was written; DuckDB would not notice.
    """
    for folder in TABLE_FOLDERS:
        for table in sorted((layout.data / folder).rglob("[!.]*.parquet")):
            check(table)
    with open_views(layout, params.splits) as (connection, made):
        connection.execute(f"SET memory_limit = '{DUCKDB_MEMORY}'; SET threads = 1")
        with plain_path(scratch) as plain_scratch:
            connection.execute("SET temp_directory = ?", [str(plain_scratch)])
            yield Tables(layout, params, frozenset(made), connection)
