"""Stage `report`: a small offline site that shows what the numbers mean, and the dataset's card.

Outs: `reports/index.html`, `reports/pages/`, `reports/queries/`, `reports/assets/` and
`reports/dataset/`: all that the pages link. Beside them `reports/local/` holds the history of
runs and what ablation and tuning found; it changes without this stage and is no out. The pages
`runs` and `studies` show it where it is there, and say so where it is not.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tasks.stages.base import Job, ShardReport, jobs
from tasks.tables.params import Params
from tasks.tables.schema import Layout

OUTS = ("index.html", "pages", "queries", "assets", "dataset")


def plan(params: Params, root: Path, split: str) -> list[Job]:
    """One job over all splits."""
    return jobs("report", params, root, split, 1)


def run_shard(job: Job) -> ShardReport:
    """Writes the report's outs; all of them appear finished or not at all."""
    from tasks.reporting.card import write_dataset_card
    from tasks.reporting.site import write_site
    from tasks.reporting.tables import open_tables

    reports = job.layout.reports
    reports.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=reports) as name:
        fresh = Path(name)
        with open_tables(job.layout, job.params, fresh) as tables:
            n_pages = write_site(tables, fresh)
            write_dataset_card(tables, fresh / "dataset")
        for out in OUTS:
            _replace(fresh / out, reports / out)
    return ShardReport(n_rows=n_pages, n_made=n_pages)


def merge(params: Params, root: Path, split: str, reports: list[ShardReport]) -> None:
    """Writes what is no out of the stage: history of runs, studies, the database of views."""
    from tasks.reporting.runs import write_runs_part
    from tasks.reporting.studies import write_studies_part
    from tasks.tables.catalog import build_catalog

    write_runs_part(Layout(root))
    write_studies_part(Layout(root))
    build_catalog(Layout(root), params.splits)


def _replace(fresh: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    fresh.replace(target)
