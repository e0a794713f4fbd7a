"""The report as a small site of static files that open from disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pose2id.metrics.camera_bias import MAX_IMAGES
from tasks.reporting.assets import Assets
from tasks.reporting.audit import audit_section
from tasks.reporting.cameras import camera_table
from tasks.reporting.data import data_section
from tasks.reporting.drawings import drawings_section
from tasks.reporting.feature_map import write_feature_map
from tasks.reporting.overview import findings, next_looks
from tasks.reporting.pages import NAVIGATION, TEMPLATES, write_page
from tasks.reporting.people import extremes, person_rows
from tasks.reporting.provenance import provenance_section
from tasks.reporting.quality import REASONS_IN_WORDS, quality_section
from tasks.reporting.queries import write_queries
from tasks.reporting.results import results_section
from tasks.reporting.space import space_section
from tasks.reporting.tables import Tables
from tasks.reporting.thumbnails import Thumbnails
from tasks.tables import schema

DRAWINGS_PER_PAGE = 24
PERSONS_PER_PAGE = 500


def write_site(tables: Tables, folder: Path) -> int:
    """Writes `index.html`, `pages/`, `queries/` and `assets/` below a folder.

    Args:
        tables: The project's tables.
        folder: Existing folder.

    Returns:
        The number of pages.

    Raises:
        DataError: An earlier version of Pose2ID made the tables.
    """
    tables.refuse_older("summary", schema.SUMMARY)
    tables.refuse_older("quality", schema.QUALITY)
    thumbnails = Thumbnails(tables.layout)
    assets = Assets(folder / "assets", thumbnails, last=tables.layout.reports / "assets")
    (folder / "pages").mkdir()
    for name in ("report.css", "report.js"):
        shutil.copyfile(TEMPLATES / name, assets.folder / name)
    results = results_section(tables, assets)
    after = results.after["variant"] if results.after else None
    cameras, no_cameras = camera_table(tables, after) if after else (None, "only base was scored")
    persons = person_rows(tables, after) if after else []
    most, least = extremes(persons)
    drawings = drawings_section(tables, assets)
    shared = {"dataset": tables.params.dataset, "results": results}

    def page(name: str, **values: Any) -> None:  # noqa: ANN401
        write_page(folder, name, f"{name}.html.j2", **shared, **values)

    page(
        "index",
        params=tables.params,
        findings=findings(tables, results),
        looks=next_looks(results, cameras),
        data=data_section(tables),
    )
    page("results")
    page("queries", explorer=write_queries(tables, assets, folder / "queries"))
    page("cameras", table=cameras, why=no_cameras, bias_sample=MAX_IMAGES)
    page(
        "quality",
        quality=quality_section(tables, assets),
        reason_words=REASONS_IN_WORDS,
        audit=audit_section(tables, assets),
    )
    page("data", data=data_section(tables))
    page("runs")
    page("studies")
    page("provenance", provenance=provenance_section(tables))
    space = space_section(tables, assets)
    has_map = bool(space.map) and write_feature_map(tables, assets)
    n_more = _series(
        *(folder, "people", persons, PERSONS_PER_PAGE, shared),
        space=space,
        has_map=has_map,
        most=most,
        least=least,
    )
    originals = drawings.originals
    n_more += _series(
        *(folder, "drawings", originals, DRAWINGS_PER_PAGE, shared),
        drawings=drawings,
        filter_cameras=sorted({o.camid for o in originals} - {None}),
        filter_reasons=sorted({r for o in originals for r in o.all_reasons}),
    )
    thumbnails.keep()
    return len(NAVIGATION) + n_more


def _series(
    folder: Path,
    name: str,
    items: list[Any],
    per_page: int,
    shared: dict[str, Any],
    **values: Any,  # noqa: ANN401
) -> int:
    """Writes items on pages `NAME`, `NAME-2`, ...; returns how many there are beyond the first."""
    n_pages = max(1, -(-len(items) // per_page))
    for number in range(1, n_pages + 1):
        start = (number - 1) * per_page
        shown = items[start : start + per_page]
        write_page(
            folder,
            name if number == 1 else f"{name}-{number}",
            f"{name}.html.j2",
            **shared,
            **values,
            items=shown,
            number=number,
            n_pages=n_pages,
            where=f"{start + 1} to {start + len(shown)} of {len(items)}" if shown else "none",
        )
    return n_pages - 1
