"""Writes pictures or features in the formats of other tools."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.project import PARAMS_FILE, Params, as_given
from flows.process.disk import explained_disk_errors
from flows.process.privacy import load_project

app = typer.Typer()


class Format(StrEnum):
    """The formats, as the command line names them."""

    FOLDERS = "folders"
    HF = "hf"
    WEBDATASET = "webdataset"
    FIFTYONE = "fiftyone"
    NPY = "npy"
    PT = "pt"


@app.command()
def main(
    file_format: Annotated[
        Format,
        typer.Option(
            "--format",
            help="Pictures: folders (query_gen/pose1/..., as the method's authors name them), hf "
            "(Hugging Face), webdataset, fiftyone. Features: npy, pt.",
        ),
    ],
    split: Annotated[
        list[str] | None, typer.Option(help="Split; may be given more than once. Default: all.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder. Default: exports/FORMAT.", callback=as_given)
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="npy, pt: raw (with generated pictures) or a variant. Default: the last one of "
            "params.yaml without re-ranking."
        ),
    ] = None,
    accepted_only: Annotated[
        bool,
        typer.Option(
            "--accepted-only", help="Pictures: leave out what the quality gates did not accept."
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier export.")
    ] = False,
    params: Params = PARAMS_FILE,
) -> None:
    """Exports generated pictures or features of any split, training images included.

    Every picture says in its own metadata that it is synthetic, from which image and by what.
    """
    from flows.cli.console import progress, show_note, show_table
    from tasks.exporting.run import PICTURE_FORMATS, Request, export
    from tasks.exporting.source import count_pictures
    from tasks.tables.schema import Layout

    pictures = file_format in PICTURE_FORMATS
    if pictures and features is not None:
        raise typer.BadParameter("--features goes with --format npy or pt")
    if accepted_only and not pictures:
        raise typer.BadParameter("--accepted-only goes with a format of pictures")
    parameters = load_project(params)
    layout = Layout()
    request = Request(
        file_format=file_format.value,
        splits=tuple(dict.fromkeys(split or parameters.splits)),
        accepted_only=accepted_only,
        features=features or "",
    )
    target = out or Path("exports") / file_format.value
    unit = "pictures" if pictures else "rows"
    total = sum(count_pictures(layout, name) for name in request.splits) if pictures else 0
    with (
        explained_disk_errors(f"export to {target}"),
        progress(f"export {file_format.value}", total, unit) as advance,
    ):
        counts = export(layout, parameters, request, target, overwrite=overwrite, advance=advance)
    show_table(("split", unit), list(counts.items()))
    show_note(f"written to {target}")
