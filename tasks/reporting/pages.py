"""HTML pages from templates: everything escaped, nothing from outside, one style and one script."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.reporting.formats import count, number, percent, signed

TEMPLATES = Path(__file__).parent / "templates"
NAVIGATION = {  # page -> its name in the navigation
    "index": "Overview",
    "results": "Results",
    "queries": "Queries",
    "people": "People",
    "cameras": "Cameras",
    "drawings": "Drawings",
    "quality": "Quality",
    "data": "Data",
    "runs": "Runs",
    "studies": "Studies",
    "provenance": "Provenance",
}
# Style, script and pictures come from beside the page, nothing else may load and nothing inline
# runs: the page cannot ask any server for anything. A page opened from disk has no 'self'.
POLICY = (
    "default-src 'none'; img-src 'self' file: data:; style-src 'self' file:; "
    "script-src 'self' file:; base-uri 'none'; form-action 'none'"
)


def write_page(folder: Path, name: str, template: str, **values: Any) -> None:  # noqa: ANN401
    """Writes one page of the site.

    Args:
        folder: The report's folder, with `pages/` in it.
        name: The page, as the file is called: a key of `NAVIGATION`, or one with `-2`, `-3`, ...
        template: Name of a file in `templates/`.
        values: What the template shows.
    """
    inside = name != "index"
    html = (
        environment()
        .get_template(template)
        .render(
            page=name.partition("-")[0],
            base="../" if inside else "",
            pages="" if inside else "pages/",
            navigation=NAVIGATION,
            policy=POLICY,
            **values,
        )
    )
    path = folder / "pages" / f"{name}.html" if inside else folder / "index.html"
    path.write_text(html, encoding="utf-8")


def fragment(template: str, **values: Any) -> str:  # noqa: ANN401 - templates take any value
    """A part of a page, escaped like one."""
    return environment().get_template(template).render(**values)


def page_of_its_own(template: str, **values: Any) -> str:  # noqa: ANN401 - templates take any value
    """A page that needs no file beside it: the report's style is handed to it as `style`."""
    return fragment(
        template, style=(TEMPLATES / "report.css").read_text(encoding="utf-8"), **values
    )


def script_data(kind: str, number_: int | str, value: object) -> str:
    r"""A script that hands data to `report.js`: pages opened from disk cannot fetch.

    >>> print(script_data("list", 0, {"name": "</script>"}), end="")
    pose2id.add("list", 0, {"name":"\u003c/script\u003e"});
    """
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f"pose2id.add({json.dumps(kind)}, {json.dumps(number_)}, {text});\n"


def compile_templates() -> None:
    """Compiles every template, for who has time before a report is asked for."""
    for name in environment().list_templates(extensions=["j2"]):
        environment().get_template(name)


@functools.cache
def environment() -> Environment:
    """The templates, compiled once per process; all of them escape what they show."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"percent": percent, "signed": signed, "number": number, "count": count}
    return found
