"""Shows and prunes finished rows, and makes an image again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import show, show_table
from pose2id.errors import DataError, ParamsError

app = typer.Typer(no_args_is_help=True)

UNITS_S = {"m": 60, "h": 3600, "d": 86400}
UNITS_BYTES = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@app.command("show")
def show_usage() -> None:
    """Shows rows, size and age of what the cache holds."""
    from tasks.tables.cache import usage
    from tasks.tables.schema import Layout

    rows = [
        (
            item.kind,
            item.n_rows,
            item.n_needed,
            item.n_segments,
            f"{item.n_bytes / 2**20:.1f} MiB",
            f"{item.oldest_s / 86400:.1f} d",
            f"{item.newest_s / 86400:.1f} d",
        )
        for item in usage(Layout())
    ]
    columns = ("kind", "rows", "needed now", "files", "size", "longest unused", "last used")
    show_table(columns, rows)


@app.command()
def prune(
    unused_for: Annotated[str, typer.Option(help="Such as 30d, 12h or 90m.")] = "",
    max_size: Annotated[str, typer.Option(help="Such as 20G or 500M.")] = "",
) -> None:
    """Drops cached rows by age or size, never one that the present tables need."""
    from flows.process.lock import pipeline_lock
    from tasks.tables.cache import prune as prune_rows
    from tasks.tables.schema import Layout

    if not unused_for and not max_size:
        raise ParamsError("say what may go: --unused-for 30d, or --max-size 20G, or both")
    with pipeline_lock(Path(), "cache prune"):
        n_dropped = prune_rows(
            Layout(),
            unused_for_s=_quantity(unused_for, UNITS_S) if unused_for else None,
            max_bytes=int(_quantity(max_size, UNITS_BYTES)) if max_size else None,
        )
    show(f"{n_dropped} rows dropped")


@app.command()
def remake(
    image_id: Annotated[str, typer.Argument(help="Such as query/0001_c1s1_000001_00.")],
) -> None:
    """Draws one image again in all poses and brings everything after it up to date."""
    from flows.process.dvc import reproduce
    from flows.process.last_tables import CACHING_STAGES, bring_last_rows
    from flows.process.lock import pipeline_lock
    from tasks.stages.base import jobs
    from tasks.tables.cache import forget
    from tasks.tables.params import load_params
    from tasks.tables.schema import Layout

    split = image_id.partition("/")[0]
    params = load_params(Path("params.yaml"))
    with pipeline_lock(Path(), f"remake {image_id}"):
        for stage in CACHING_STAGES:  # a pulled table counts as made: else it would come back
            bring_last_rows(Path(), jobs(stage, params, Path(), split, 1)[0])
        n_dropped = forget(Layout(), image_id)
    if not n_dropped:
        raise DataError(
            f"no row of {image_id!r} is in the cache; image ids look like "
            "'query/0001_c1s1_000001_00': pose2id query \"SELECT image_id FROM index\""
        )
    show(f"{n_dropped} rows of {image_id} dropped; making them again")
    for options in (["-f", "-s", f"generate@{split}"], ["-f", "-s", f"features@{split}"], []):
        reproduce(*options)


def _quantity(text: str, units: dict[str, int]) -> float:
    match = re.fullmatch(rf"(\d+(?:\.\d+)?)([{''.join(units)}])", text)
    if match is None:
        raise ParamsError(f"{text!r} is not a quantity; a number and one of {', '.join(units)}")
    return float(match[1]) * units[match[2]]
