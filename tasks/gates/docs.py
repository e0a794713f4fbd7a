"""Data Docs as files that ask nothing of the network.

Great Expectations' pages take their style and scripts from content networks. Here the scripts and
everything foreign go, a small style sheet stands in for what the pages need of the foreign one,
and an index of our own, which needs no script, names the failing rows.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.gates.running import Outcome

SITE = "quality"
COLUMNS = ("suite", "fault", "severity", "expectation", "column", "met", "failing", "rows")
_FOREIGN = (
    (re.compile(r"<script\b.*?</script\s*>", re.DOTALL | re.IGNORECASE), ""),
    (re.compile(r"<(?:link|img)\b[^>]*?https?://[^>]*>", re.IGNORECASE), ""),
    (re.compile(r"@import\s+url\([^)]*\)\s*;"), ""),
    (re.compile(r"url\(\s*['\"]?https?://[^)]*\)"), "none"),
)


def publish(context: Any, folder: Path, outcomes: Sequence[Outcome]) -> None:  # noqa: ANN401
    """Builds the Data Docs of everything that a context has validated.

    Args:
        context: The Great Expectations context.
        folder: Where `index.html` goes; what was there before is replaced.
        outcomes: What the index lists.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    style = (Path(__file__).parent / "data_docs.css").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder.parent) as temporary:
        built = Path(temporary) / "site"
        for name in context.get_site_names():
            context.delete_data_docs_site(name)
        context.add_data_docs_site(SITE, _site(built))
        context.build_data_docs(site_names=[SITE])
        for page in built.rglob("*.html"):
            page.write_text(_offline(page.read_text(encoding="utf-8"), style), encoding="utf-8")
        for sheet in built.rglob("*.css"):
            sheet.write_text(_offline(sheet.read_text(encoding="utf-8"), ""), encoding="utf-8")
        pages = {
            page.relative_to(built).parts[1]: page.relative_to(built).as_posix()
            for page in built.glob("validations/*/*/*/*.html")
        }
        (built / "index.html").write_text(_index(outcomes, pages, style), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        built.rename(folder)


def _site(folder: Path) -> dict[str, object]:
    return {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(folder.resolve()),
        },
    }


def _offline(text: str, style: str) -> str:
    for foreign, instead in _FOREIGN:
        text = foreign.sub(instead, text)
    return text.replace("</head>", f"<style>{style}</style>\n</head>", 1)


def _index(outcomes: Sequence[Outcome], pages: dict[str, str], style: str) -> str:
    """The first page: every expectation, the unmet ones first."""
    head = "".join(f"<th>{name}</th>" for name in COLUMNS)
    body = "\n".join(
        _row(outcome, pages) for outcome in sorted(outcomes, key=lambda outcome: outcome.success)
    )
    n_unmet = sum(not outcome.success for outcome in outcomes)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Data Docs</title>'
        f"<style>{style}</style></head>\n<body><h1>Quality gates</h1>\n"
        f"<p>{len(outcomes)} expectations, {n_unmet} not met.</p>\n"
        f"<table><tr>{head}</tr>\n{body}</table></body></html>\n"
    )


def _row(outcome: Outcome, pages: dict[str, str]) -> str:
    check = outcome.check
    met = (
        '<td class="text-success">yes</td>'
        if outcome.success
        else ('<td class="text-danger">no</td>')
    )
    more = len(outcome.rows) - len(outcome.labels)
    failing = [escape(label) for label in outcome.labels] + ([f"and {more} more"] * (more > 0))
    cells = [
        f'<a href="{escape(pages[outcome.suite])}">{escape(outcome.suite)}</a>',
        *(escape(text) for text in (check.code, check.severity, check.expectation)),
        escape(str(check.kwargs.get("column", ""))),
    ]
    return (
        "<tr>"
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + met
        + f"<td>{outcome.n_unexpected} of {outcome.n_checked}</td><td>{'<br>'.join(failing)}</td>"
        "</tr>"
    )
