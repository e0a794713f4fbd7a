"""Recognises a dataset's folder and writes what it is into params.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.project import PARAMS_FILE, Params, as_given

if TYPE_CHECKING:
    from tasks.starting.survey import Survey

app = typer.Typer()


@app.command()
def main(
    folder: Annotated[
        Path, typer.Argument(help="The dataset, as it was downloaded.", callback=as_given)
    ],
    name: Annotated[str | None, typer.Option(help="Name of the dataset.")] = None,
    licence: Annotated[str | None, typer.Option(help="What its authors allow.")] = None,
    status: Annotated[
        str | None, typer.Option(help="open, academic, private or retracted.")
    ] = None,
    reader: Annotated[str | None, typer.Option(help="The layout, where it is not seen.")] = None,
    query: Annotated[str | None, typer.Option(help="The split that is asked with.")] = None,
    gallery: Annotated[str | None, typer.Option(help="The split that is searched.")] = None,
    params: Params = PARAMS_FILE,
) -> None:
    """Looks at a folder and sets splits, dataset and score; asks nothing."""
    from flows.cli.console import progress, setup_logging, show

    setup_logging()
    from pose2id.errors import DataError
    from tasks.starting import recipe, survey, unpack, write

    folder = folder.expanduser()
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    project = params.absolute().parent
    if packed := unpack.find_packed(folder):
        target = project / "data/raw" / write.default_name(folder, packed.reader, True)
        show(f"{packed.evidence}: its pictures are unpacked to {target}")
        with progress("unpack", 0) as advance:
            unpack.unpack(packed, target, lambda: advance(1))
        folder = target
    found = survey.find_layout(folder, reader)
    if found is None:
        target = project / f"data/manifest-{write.default_name(folder, 'folder', True)}.csv"
        raise DataError(recipe.write_recipe(folder, target))
    layout, evidence, root = found
    benchmark = bool(layout.splits) and not layout.shared
    chosen = name or write.default_name(root, layout.name, not benchmark)
    seen = survey.survey(layout, evidence, root, name=chosen, query=query, gallery=gallery)
    write.check_names(item.name for item in seen.splits)
    write.write_params(
        params,
        project,
        seen,
        name=chosen,
        licence=licence or write.UNKNOWN_LICENCE,
        status=status or write.default_status(layout.name, benchmark),
    )
    _show(seen, params)
    if licence is None:
        show("  the licence is not in the files: written as unknown; set dataset.licence")
    if status is None:
        show("  what may be done with it is a guess from the layout: check dataset.status")


def _show(seen: Survey, params: Path) -> None:
    from flows.cli.console import show, show_table

    show(f"{seen.layout.title} (reader {seen.layout.name}) in {seen.root}: {seen.evidence}")
    show_table(
        ("split", "images", "people", "cameras", "tracklets", "rejected", "junk", "no images"),
        [
            (
                *(item.name, item.counts.images, item.counts.people, item.n_cameras),
                *(item.counts.tracklets, item.n_rejects, item.n_junk, item.n_not_images),
            )
            for item in seen.splits
        ],
    )
    for item in seen.splits:
        if item.first_reject:
            show(f"  first reject of {item.name}: {item.first_reject}")
        for sentence in item.unlike:
            show(f"  {sentence}")
    for where, n_images in sorted(seen.unread.items()):
        show(f"  {n_images:,} images in {where} belong to no split")
    show(
        f"written to {params}: splits, dataset and score "
        f"({seen.query} against {seen.gallery}, protocol {seen.layout.protocol})"
    )
    for doubt in seen.doubts:
        show(f"  {doubt}")
