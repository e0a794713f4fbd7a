"""Makes the report again, and says where it is."""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def main(
    show_page: Annotated[
        bool, typer.Option("--open", help="Open it in the browser when it is made.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again/--as-it-is", help="Make it again, or only say where it is.")
    ] = True,
) -> None:
    """Makes the report again from the present tables; nothing before it runs."""
    from flows.cli.console import show
    from flows.process.dvc import reproduce
    from pose2id.errors import DataError
    from tasks.tables.schema import Layout

    if again:
        reproduce("--single-item", "--force", "report")
    page = Layout().reports / "index.html"
    if not page.is_file():
        raise DataError(f"there is no {page} yet; make it with: pose2id report")
    show(str(page.resolve()))
    if show_page:
        webbrowser.open(page.resolve().as_uri())
