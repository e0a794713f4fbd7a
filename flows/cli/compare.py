"""Compares the results of two revisions or experiments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.project import PARAMS_FILE, Params, as_given, new_file
from flows.process.privacy import load_project

if TYPE_CHECKING:
    from tasks.studies.comparison import Comparison, Results

app = typer.Typer()
WORKSPACE = "workspace"


@app.command()
def main(
    before: Annotated[str, typer.Argument(help="A revision of git or an experiment of DVC.")],
    after: Annotated[str, typer.Argument(help="Likewise, or the workspace as it is.")] = WORKSPACE,
    variant: Annotated[
        str | None, typer.Option(help="Whose flipped queries are printed; all by default.")
    ] = None,
    n: Annotated[int, typer.Option("-n", min=0, max=10_000, help="Flipped queries printed.")] = 20,
    html: Annotated[
        Path | None, typer.Option(help="HTML file for the comparison.", callback=as_given)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    params: Params = PARAMS_FILE,
) -> None:
    """Prints what each variant gained between two runs, and the queries that flipped.

    The tables come from DVC's cache; nothing is checked out.
    """
    import contextlib
    import json
    from dataclasses import asdict

    from flows.cli.console import show
    from pose2id.errors import ParamsError
    from tasks.reporting.pages import page_of_its_own
    from tasks.studies.comparison import compare

    score = load_project(params).score
    runs = [_results(Path(), name) for name in (before, after)]
    found = compare(*runs, n_resamples=score.bootstrap_resamples, seed=score.seed)
    known = [item.variant for item in found.differences]
    if variant is not None and variant not in known:
        raise ParamsError(f"--variant is {variant!r}; both runs have {', '.join(known)}")
    with contextlib.ExitStack() as files:
        page = files.enter_context(new_file(html, "--html")) if html else None
        if as_json:
            show(json.dumps(asdict(found), indent=2))
        else:
            _show(found, variant, n)
        if page is not None:
            page.write_text(page_of_its_own("compare.html.j2", found=found), encoding="utf-8")


def _results(root: Path, name: str) -> Results:
    """The results of a revision, from DVC's cache, or those that lie in the workspace."""
    from flows.process.dvc_cache import cached_files, locked_params
    from pose2id.errors import DataError
    from tasks.studies.comparison import read_results
    from tasks.tables.schema import Layout

    results = Layout(root).results.relative_to(root)
    tables = [f"{results.as_posix()}/{table}.parquet" for table in ("summary", "queries")]
    if name == WORKSPACE:
        summary, queries = (root / table for table in tables)
        return read_results(name, summary, queries, locked_params(root))
    files = dict(cached_files(root, results.as_posix(), name))
    missing = [table for table in tables if table not in files]
    if missing:
        raise DataError(f"{name!r} has no {' and no '.join(missing)} in its dvc.lock")
    if not all(files[table].is_file() for table in tables):
        raise DataError(
            f"the results of {name!r} are not in DVC's cache; fetch them from your remote: "
            "dvc fetch --all-commits score (of an experiment: dvc exp pull), or run that revision "
            "again"
        )
    summary, queries = (files[table] for table in tables)
    return read_results(name, summary, queries, locked_params(root, name))


def _show(found: Comparison, variant: str | None, n: int) -> None:
    from flows.cli.console import show, show_note, show_table

    show_table(
        (
            *("variant", f"mAP {found.before}", f"mAP {found.after}", "delta", "low", "high"),
            *("queries", "righted", "wronged"),
        ),
        [
            (
                *(item.variant, 100 * item.mAP_before, 100 * item.mAP_after),
                *(100 * item.delta, 100 * item.low, 100 * item.high),
                *(item.n_queries, item.n_righted, item.n_wronged),
            )
            for item in found.differences
        ],
    )
    flips = [flip for flip in found.flips if variant in (None, flip.variant)]
    if flips and n:
        show("")
        show_table(
            (
                *("variant", "query_id", "first answer"),
                *("AP before", "AP after", "rank before", "after"),
            ),
            [
                (
                    *(
                        flip.variant,
                        flip.query_id,
                        "became " + ("right" if flip.righted else "wrong"),
                    ),
                    *(flip.ap_before, flip.ap_after, flip.rank_before, flip.rank_after),
                )
                for flip in flips[:n]
            ],
        )
    if len(flips) > n:
        show_note(f"{n} of {len(flips)} flipped queries; -n and --json print more")
    if found.changed:
        show("")
        rows = [(item.key, str(item.before), str(item.after)) for item in found.changed]
        show_table(("parameter", found.before, found.after), rows)
    for note in found.notes:
        show_note(note)
