"""Finds a person in the gallery by a picture."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.project import PARAMS_FILE, Params, as_given, new_file
from flows.process.privacy import load_project

if TYPE_CHECKING:
    from tasks.search.ranking import Found, Gallery

app = typer.Typer()


@app.command()
def main(
    image: Annotated[
        Path | None,
        typer.Option(
            help="Picture of one person, a folder of them, or an image id.", callback=as_given
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="Length of the ranked list.")] = 10,
    variant: Annotated[
        str | None,
        typer.Option(help="Whose features are compared; the last without re-ranking by default."),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(help="PNG file to draw a single ranked list to.", callback=as_given),
    ] = Path("ranked.png"),
    html: Annotated[
        Path | None, typer.Option(help="HTML file for the lists.", callback=as_given)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lists as JSON.")] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="A page on loopback that takes pictures.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the page; 0: any.")] = 8765,
    params: Params = PARAMS_FILE,
) -> None:
    """Ranks the gallery by likeness to the person of a picture, by the project's own chain."""
    import json

    from flows.cli.console import progress, show, show_note
    from flows.process.environment import leave_pandas_out

    leave_pandas_out()
    from tasks.search.asking import networks_of
    from tasks.search.page import as_data, as_html
    from tasks.search.ranking import Gallery
    from tasks.search.terminal import thumbnails
    from tasks.tables.schema import Layout

    parameters, root = load_project(params), Path()
    if out.suffix != ".png":
        raise typer.BadParameter(f"--out must end in .png, got {out.name}")
    if (image is None) != serve:
        raise typer.BadParameter("name a picture by --image, or serve a page by --serve")
    gallery = Gallery(
        Layout(root),
        parameters,
        variant or parameters.default_variant,
        networks_of(parameters, root),
    )
    dataset_root = root / parameters.dataset.root
    if image is None:
        _serve(gallery, dataset_root, port, k)
        return
    pictures = _pictures(image, gallery, dataset_root)
    with contextlib.ExitStack() as files:
        drawing = page = None
        if html is not None:
            page = files.enter_context(new_file(html, "--html"))
        elif len(pictures) == 1 and not as_json:
            drawing = files.enter_context(new_file(out, "--out"))
        lists = []
        with progress("search", len(pictures), "pictures") as advance:
            for name, data in pictures:
                lists.append((gallery.search(name, data, k), data))
                advance(1)
        if as_json:
            show(json.dumps([as_data(found) for found, _ in lists], indent=2))
        else:
            for found, data in lists:
                _show(found, parameters.score.gallery)
                if shows_pictures():
                    columns = shutil.get_terminal_size().columns
                    show(thumbnails(found, data, dataset_root, columns))
        if page is not None:
            page.write_text(as_html(lists, dataset_root), encoding="utf-8")
        if drawing is not None:
            _draw(*lists[0], dataset_root, drawing)
    if page is not None:
        show_note(f"written to {html}")
    if drawing is not None:
        show_note(f"drawn to {out}")


def _serve(gallery: Gallery, dataset_root: Path, port: int, k: int) -> None:
    from flows.cli.console import show, show_note
    from tasks.search.serving import SearchServer

    with (
        SearchServer(gallery, dataset_root, port, k) as server,
        contextlib.suppress(KeyboardInterrupt),
    ):
        show(server.address)
        sys.stdout.flush()  # also where a program reads it
        show_note("Whoever has this address can search and see the gallery. Stop with Ctrl-C.")
        server.serve_forever()


def _pictures(image: Path, gallery: Gallery, dataset_root: Path) -> list[tuple[str, bytes]]:
    """Name and bytes of each picture asked with; of a folder, those that can be used."""
    from flows.cli.console import printable, show_note
    from pose2id.datasets.images import IMAGE_SUFFIXES, decode_rgb, read_image_bytes, read_indexed
    from pose2id.errors import DataError

    if image.is_dir():
        files = sorted(p for p in image.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        if not files:
            raise DataError(f"--image {image} has no {', '.join(IMAGE_SUFFIXES)} file in it")
    elif not image.exists() and (row := _indexed(image, gallery)):
        return [(row["image_id"], read_indexed(dataset_root, row["path"], row["sha256"]))]
    else:
        files = [image]
    found = []
    for file in files:
        try:
            data = read_image_bytes(file)
            decode_rgb(data)
            found.append((str(file), data))
        except DataError as error:
            if file == image:
                raise DataError(f"--image {file} {error}") from error
            show_note(f"left out: {printable(str(file))} {error}")
    if not found:
        raise DataError(f"--image {image} has no picture that can be used")
    return found


def _indexed(image: Path, gallery: Gallery) -> dict[str, Any]:
    """The index row of an image id, which the command line may have taken for a path."""
    ids = ("/".join(image.parts[start:]) for start in range(len(image.parts)))
    return next(filter(None, (gallery.known(image_id=image_id) for image_id in ids)), {})


def _show(found: Found, split: str) -> None:
    from flows.cli.console import printable, show_note, show_table

    known = "not in the index" if found.query_id is None else f"{found.query_id} in the index"
    show_note(
        f"{printable(found.name)} ({known}) against {split}, variant {found.variant}, "
        f"squared Euclidean distance: {'; '.join(found.notes)}"
    )
    verdicts = {None: "", True: "right", False: "wrong"}
    rows = [
        (hit.rank, hit.image_id, hit.pid, hit.camid, hit.distance, verdicts[hit.is_match])
        + (("the same file",) if hit.is_same_file else ("",))
        for hit in found.hits
    ]
    show_table(("rank", "image_id", "pid", "camid", "distance", "verdict", "note"), rows)


def shows_pictures() -> bool:
    """Whether stdout is a terminal that says that it has 24-bit colour."""
    return sys.stdout.isatty() and os.environ.get("COLORTERM") in ("truecolor", "24bit")


def _draw(found: Found, data: bytes, dataset_root: Path, path: Path) -> None:
    from pose2id.datasets.images import decode_rgb
    from tasks.search.ranking import draw_ranked_list

    drawing = draw_ranked_list(decode_rgb(data), found, dataset_root)
    drawing.save(path, format="png")
