"""`reports/local/`: what changes without the stage `report`, as scripts that its pages load."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.reporting.pages import fragment, script_data
from tasks.tables.schema import Layout
from tasks.tables.store import atomic_path


@dataclass(frozen=True, slots=True)
class LocalPart:
    """A part of a page in the making.

    Attributes:
        name: The page.
        folder: Where its pictures go.
        script: The script file that carries it.
    """

    name: str
    folder: Path
    script: Path

    def write(self, template: str, **values: Any) -> None:  # noqa: ANN401
        """Renders the part; pictures are found in `../local/NAME/` as `pictures`."""
        html = fragment(template, pictures=f"../local/{self.name}", **values)
        with atomic_path(self.script) as path:
            path.write_text(script_data("local", self.name, html), encoding="utf-8")


@contextmanager
def write_local(layout: Layout, name: str) -> Iterator[LocalPart]:
    """Writes `local/NAME.js` and its pictures in `local/NAME/`, which replace the last ones.

    Args:
        layout: The project.
        name: Page whose part it is.

    Yields:
        The part, to write.
    """
    target = layout.reports / "local"
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=target) as fresh:
        part = LocalPart(name, Path(fresh) / name, target / f"{name}.js")
        part.folder.mkdir()
        yield part
        shutil.rmtree(target / name, ignore_errors=True)
        part.folder.replace(target / name)
