"""Stage `report`: one offline page that shows what the numbers mean, and the dataset's card.

Outs: `reports/index.html`, `reports/pages/`, `reports/assets/`, `reports/dataset/`. Beside them
`reports/runs.html` tells the history of runs and `reports/studies.html` what ablation and tuning
found; they change without this stage and are no outs.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.stages.base import Job, ShardReport, jobs
from tasks.tables.params import Params
from tasks.tables.schema import Layout

if TYPE_CHECKING:
    from tasks.reporting.tables import Tables

log = logging.getLogger(__name__)

OUTS = ("index.html", "pages", "assets", "dataset")
PER_PAGE = 24  # originals or queries on one page
PERSONS_PER_PAGE = 500
SECTIONS = (
    ("results", "Results"),
    ("identities", "Identities"),
    ("ranked", "Ranked lists"),
    ("space", "Feature space"),
    ("quality", "Quality"),
    ("provenance", "Provenance"),
)


def plan(params: Params, root: Path, split: str) -> list[Job]:
    """One job over all splits."""
    return jobs("report", params, root, split, 1)


def run_shard(job: Job) -> ShardReport:
    """Writes the report's outs; all of them appear finished or not at all."""
    from tasks.reporting.card import write_dataset_card
    from tasks.reporting.tables import open_tables

    reports = job.layout.reports
    reports.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=reports) as name:
        fresh = Path(name)
        with open_tables(job.layout, job.params, fresh) as tables:
            n_pages = write_pages(tables, fresh)
            write_dataset_card(tables, fresh / "dataset")
        for out in OUTS:
            _replace(fresh / out, reports / out)
    return ShardReport(n_rows=n_pages, n_made=n_pages)


def merge(params: Params, root: Path, split: str, reports: list[ShardReport]) -> None:
    """Writes what is no out of the stage: pages of runs and studies, the database of views."""
    from tasks.reporting.runs import write_runs_page
    from tasks.reporting.studies import write_studies_page
    from tasks.tables.catalog import build_catalog

    write_runs_page(Layout(root))
    write_studies_page(Layout(root))
    build_catalog(Layout(root), params.splits)


def write_pages(tables: Tables, folder: Path) -> int:
    """Writes `index.html`, `pages/` and `assets/` below a folder.

    Args:
        tables: The project's tables.
        folder: Existing folder.

    Returns:
        The number of pages.
    """
    from tasks.reporting.assets import Assets
    from tasks.reporting.identities import identities_section
    from tasks.reporting.pages import render
    from tasks.reporting.provenance import provenance_section
    from tasks.reporting.quality import REASONS_IN_WORDS, quality_section
    from tasks.reporting.ranked import ranked_section
    from tasks.reporting.results import person_rows, results_section
    from tasks.reporting.space import space_section

    assets = Assets(folder / "assets")
    (folder / "pages").mkdir()
    results = results_section(tables, assets)
    identities = identities_section(tables, assets)
    ranked = ranked_section(tables, assets)
    persons = person_rows(tables, results.after["variant"]) if results.after else []
    series: dict[str, tuple[str, list[Any], int]] = {
        "identities": ("Identities", identities.originals, PER_PAGE),
        "ranked": ("Ranked lists", ranked.queries, PER_PAGE),
        "persons": ("Person by person", persons, PERSONS_PER_PAGE),
    }
    n_pages = {
        name: _write_series(folder / "pages", name, *parts) for name, parts in series.items()
    }
    html = render(
        "index.html.j2",
        base="",
        sections=SECTIONS,
        results=results,
        identities=identities,
        first_identities=identities.originals[:PER_PAGE],
        identity_pages=n_pages["identities"],
        filter_cameras=sorted({o.camid for o in identities.originals} - {None}),
        filter_reasons=sorted({r for o in identities.originals for r in o.all_reasons}),
        ranked=ranked,
        first_ranked=ranked.queries[:PER_PAGE],
        ranked_pages=n_pages["ranked"],
        person_pages=n_pages["persons"],
        space=space_section(tables, assets),
        quality=quality_section(tables, assets),
        reason_words=REASONS_IN_WORDS,
        provenance=provenance_section(tables),
    )
    (folder / "index.html").write_text(html, encoding="utf-8")
    return 1 + sum(n_pages.values())


def _write_series(folder: Path, name: str, title: str, items: list[Any], per_page: int) -> int:
    """Writes the items on pages `NAME-1.html`, ...; returns how many pages there are."""
    from tasks.reporting.pages import render

    n_pages = max(1, -(-len(items) // per_page))
    for page in range(1, n_pages + 1):
        start = (page - 1) * per_page
        shown = items[start : start + per_page]
        where = f"{start + 1} to {start + len(shown)} of {len(items)}" if shown else "none"
        html = render(
            "more.html.j2",
            name=name,
            title=title,
            page=page,
            n_pages=n_pages,
            items=shown,
            text=f"Shown here: {where}.",
        )
        (folder / f"{name}-{page}.html").write_text(html, encoding="utf-8")
    return n_pages


def _replace(fresh: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    fresh.replace(target)
