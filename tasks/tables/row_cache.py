"""The append-only row cache: finished rows, found again by what they were made from."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa

from tasks.tables.aside import put_aside
from tasks.tables.seal import DamagedTableError, check, read_sealed, state_of
from tasks.tables.store import sha256_hex, write_table

COMPACT_AT: Final = 16  # segments of one shard before they are joined into one
_BROUGHT: Final = "brought-"


class RowCache:
    """Finished rows of one kind, append-only, found again by key, outside of every stage's outs.

    Segments live in folders named by a shard's bits. A folder is searched for a shard when one
    of the two bit strings begins with the other, so the number of shards may change freely.

    A key says what a row is made from and how, not on which machine. Rows are taken if they were
    made on a machine of this kind, or else if they were brought: rows of the last table, which
    another machine may have made. A damaged segment is put aside and its rows are made again.

    Args:
        root: Folder of the rows of one kind.
        prefix: Bits of the shard.
        made_on: The kind of machine whose rows are taken and added, see
            `pose2id.machine.machine_kind`.
    """

    def __init__(self, root: Path, prefix: str, made_on: str) -> None:
        self.root = root
        self.prefix = prefix
        self.made_on = made_on
        self.folder = root / f"shard-{prefix}"
        self._own = f"rows-{sha256_hex(made_on)[:8]}-"

    def keys(self) -> set[str]:
        """The keys of all rows that can be found."""
        keys: set[str] = set()
        for _, held in self._held():
            keys.update(held)
        return keys

    def append(self, table: pa.Table) -> None:
        """Adds rows as one new segment; the segment appears whole or not at all."""
        name = sha256_hex(*table.column("key").to_pylist())[:32]
        write_table(self.folder / f"{self._own}{name}.parquet", table, producer=self.made_on)

    def bring(self, table: Path, name: str) -> int:
        """Makes the rows of a table findable, whichever machine made them.

        Args:
            table: A part of an out with a column `key`, of this shard; without a right seal
                nothing is brought.
            name: Hex digits that stand for its content.

        Returns:
            How many of its rows the cache lacked; without any, nothing is kept.
        """
        if state_of(table) != "sealed":
            return 0
        lacking = set(_keys(table)) - self.keys()
        target = self.folder / f"{_BROUGHT}{name}.parquet"
        if lacking and not target.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                os.link(table, target)  # the table may be large, and neither is ever written to
            except OSError:
                shutil.copyfile(table, target.with_name(f".tmp-{target.name}"))
                target.with_name(f".tmp-{target.name}").replace(target)
        return len(lacking)

    def take(self, keys: Iterable[str]) -> pa.Table | None:
        """The rows with these keys in unspecified order; `None` if there are none.

        Segments that give a row are marked as used, so that pruning by age spares them.
        """
        wanted = set(keys)
        found: list[pa.Table] = []
        for segment, held in self._held():
            rows = [row for row, key in enumerate(held) if key in wanted]
            if rows:
                found.append(read_sealed(segment).take(rows))
                wanted.difference_update(held[row] for row in rows)
                if segment.stat().st_nlink == 1:
                    os.utime(segment)
        return pa.concat_tables(found) if found else None

    def assemble(self, wanted: dict[tuple[str, int], str], layout: pa.Schema) -> pa.Table:
        """The rows of an out: one per `(image id, pose id)`, in that order, taken by key.

        A row found by key may have been made under another name (a renamed file with the same
        content), so both id columns, the first two of the layout, are written anew.
        """
        found = self.take(wanted.values())
        if found is None:
            return layout.empty_table()
        row_of = {key: row for row, key in enumerate(found.column("key").to_pylist())}
        order = sorted(wanted)
        table = found.take([row_of[wanted[item]] for item in order])
        image_ids = pa.array([image_id for image_id, _ in order], layout.field(0).type)
        pose_ids = pa.array([pose_id for _, pose_id in order], layout.field(1).type)
        table = table.set_column(0, layout.field(0), image_ids)
        return table.set_column(1, layout.field(1), pose_ids).cast(layout)

    def compact(self) -> None:
        """Joins the shard's own segments into one when they have become many."""
        segments = sorted(self.folder.glob(f"{self._own}*.parquet"))
        if len(segments) < COMPACT_AT:
            return
        by_schema: dict[pa.Schema, list[tuple[Path, pa.Table]]] = {}
        for segment in segments:
            try:
                table = read_sealed(segment, strict=True)
            except DamagedTableError as error:
                put_aside(error, self.root.parent)
                continue
            by_schema.setdefault(table.schema, []).append((segment, table))
        for group in by_schema.values():
            if len(group) > 1:
                self.append(pa.concat_tables([table for _, table in group]))
                for path, _ in group:
                    path.unlink()

    def _held(self) -> Iterator[tuple[Path, list[str]]]:
        """Sound segments with the keys of their rows, those made on this kind of machine first."""
        for start in (self._own, _BROUGHT):
            for folder in sorted(self.root.glob("shard-*")):
                bits = folder.name.removeprefix("shard-")
                if not (bits.startswith(self.prefix) or self.prefix.startswith(bits)):
                    continue
                for segment in sorted(folder.glob(f"{start}*.parquet")):
                    try:
                        check(segment, strict=True)
                        yield segment, _keys(segment)
                    except DamagedTableError as error:
                        put_aside(error, self.root.parent)


def is_segment(path: Path) -> bool:
    """Whether a file's name is that of a segment of any machine."""
    return bool(re.fullmatch(r"(rows|brought)-[0-9a-f-]+\.parquet", path.name))


def _keys(segment: Path) -> list[str]:
    table = read_sealed(segment, ["key"])
    keys: list[str] = table.column("key").to_pylist() if "key" in table.column_names else []
    return keys
