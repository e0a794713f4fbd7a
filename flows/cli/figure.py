"""Writes pictures and tables for a paper, with the numbers of the last run."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.project import PARAMS_FILE, Params, as_given, new_file
from flows.process.privacy import load_project

if TYPE_CHECKING:
    from tasks.reporting.tables import Tables

app = typer.Typer()


class Kind(StrEnum):
    """What to write."""

    RANKED = "ranked"
    POSES = "poses"
    CMC = "cmc"
    TABLE = "table"


@app.command()
def main(
    kind: Annotated[
        Kind, typer.Argument(help="Ranked lists, drawings, CMC curves, or the results as LaTeX.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="File; its suffix says the format: .png, .pdf, .svg, of a table .tex.",
            callback=as_given,
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(help="Variants shown, in order; of ranked lists base and the best."),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(help="Image ids: queries of ranked lists, images with their drawings."),
    ] = None,
    n: Annotated[int, typer.Option("-n", min=1, max=50, help="Images, if none is named.")] = 3,
    k: Annotated[int, typer.Option("-k", min=1, max=30, help="Length of a ranked list.")] = 10,
    width: Annotated[
        float, typer.Option(min=1.0, max=40.0, help="Width in inches; 3.5 is a column.")
    ] = 7.0,
    params: Params = PARAMS_FILE,
) -> None:
    """Writes `ranked`, `poses`, `cmc` or `table` to a file that a paper takes."""
    import tempfile

    from flows.cli.console import show_note
    from pose2id.extras import require
    from tasks.figures.sheet import SUFFIXES
    from tasks.reporting.tables import open_tables
    from tasks.tables.schema import Layout

    if kind is not Kind.TABLE:
        require("figures", "matplotlib", purpose="A figure")
    parameters, layout = load_project(params), Layout()
    target = out or Path(f"{kind.value}{'.tex' if kind is Kind.TABLE else '.pdf'}")
    allowed = (".tex",) if kind is Kind.TABLE else SUFFIXES
    if target.suffix not in allowed:
        raise typer.BadParameter(f"--out must end in {', '.join(allowed)}, got {target.name}")
    with (
        new_file(target, "--out") as path,
        tempfile.TemporaryDirectory() as scratch,
        open_tables(layout, parameters, Path(scratch)) as tables,
    ):
        _write(kind, tables, path, target.suffix, variant or [], image or [], n, k, width)
    show_note(f"written to {target}")


def _write(
    kind: Kind,
    tables: Tables,
    path: Path,
    suffix: str,
    variants: list[str],
    images: list[str],
    n: int,
    k: int,
    width: float,
) -> None:
    from pose2id.errors import DataError
    from tasks.figures.curves import draw_cmc
    from tasks.figures.numbers import cmc_curves, latex_table
    from tasks.figures.pictures import compared_variants, pose_lines, ranked_lines
    from tasks.figures.sheet import draw_sheet, save_figure

    subject = f"Pose2ID {kind.value} of {tables.params.dataset.name}"
    compared = compared_variants(tables, variants)  # refuses unknown ones
    if kind is Kind.TABLE:
        path.write_text(latex_table(tables, variants), encoding="utf-8")
        return
    if kind is Kind.RANKED:
        figure = draw_sheet(ranked_lines(tables, compared, images, n, k), width)
    elif kind is Kind.POSES:
        subject += "; synthetic: all pictures but the first of each row are generated"
        figure = draw_sheet(pose_lines(tables, images, n), width)
    else:
        curves = cmc_curves(tables, variants)
        if not curves:
            raise DataError("there are no CMC curves: nothing was scored")
        figure = draw_cmc(curves, width)
    save_figure(figure, path, suffix, subject)
