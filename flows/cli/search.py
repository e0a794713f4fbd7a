"""Finds a person in the gallery by a picture."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.project import PARAMS_FILE, Params, as_given
from flows.process.privacy import load_project

app = typer.Typer()


@app.command()
def main(
    image: Annotated[Path, typer.Option(help="Picture of one person.", callback=as_given)],
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="Length of the ranked list.")] = 10,
    variant: Annotated[
        str,
        typer.Option(help="Variant of the gallery; the picture itself has only its own feature."),
    ] = "base",
    out: Annotated[
        Path, typer.Option(help="PNG file to draw the ranked list to.", callback=as_given)
    ] = Path("ranked.png"),
    params: Params = PARAMS_FILE,
) -> None:
    """Ranks the gallery by likeness to the person of a picture, and draws the ranked list."""
    from flows.cli.console import printable, show_note, show_table
    from pose2id.datasets.images import decode_rgb, read_image_bytes
    from pose2id.errors import DataError
    from tasks.search.ranking import draw_ranked_list, search
    from tasks.stages.features import load_extractor
    from tasks.tables.schema import Layout

    parameters = load_project(params)
    try:
        data = read_image_bytes(image)
        picture = decode_rgb(data)
    except DataError as error:
        raise DataError(f"--image {image} {error}") from error
    if out.suffix != ".png":
        raise typer.BadParameter(f"--out must end in .png, got {out.name}")
    with drawing_file(out) as temporary:
        root = Path()
        extractor = load_extractor(parameters.features, str(root), parameters.runtime.device)
        found = search(Layout(root), parameters, data, extractor, variant=variant, k=k)
        known = "not in the index" if found.query_id is None else f"{found.query_id} in the index"
        show_note(
            f"{printable(str(image))} ({known}): its own {extractor.name} feature against the "
            f"{variant} features of {parameters.score.gallery}, squared Euclidean distance"
        )
        verdicts = {None: "", True: "right", False: "wrong"}
        rows = [
            (hit.rank, hit.image_id, hit.pid, hit.camid, hit.distance, verdicts[hit.is_match])
            + (("the same file",) if hit.is_same_file else ("",))
            for hit in found.hits
        ]
        show_table(("rank", "image_id", "pid", "camid", "distance", "verdict", "note"), rows)
        drawing = draw_ranked_list(picture, found, root / parameters.dataset.root)
        drawing.save(temporary, format="png")
    show_note(f"drawn to {out}")


@contextlib.contextmanager
def drawing_file(out: Path) -> Iterator[Path]:
    """A temporary file that becomes `--out`; where none can be, it says so before any work.

    Raises:
        DataError: No file can be written there.
    """
    from pose2id.errors import DataError
    from tasks.tables.store import atomic_path

    with contextlib.ExitStack() as stack:
        try:
            if out.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
            temporary = stack.enter_context(atomic_path(out))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"--out {str(out)[:200]} cannot be written: {reason}") from error
        yield temporary
