"""The list of commands: a line here, and a module of the same name beside it with an `app`.

The first line of the module's docstring is what `pose2id --help` says of it.
"""

from __future__ import annotations

import re
from pathlib import Path

SECTIONS = {
    "Run": ("init", "demo", "run", "report", "watch", "serve"),
    "Ask": ("query", "search", "compare", "figure", "export"),
    "Choose": ("doctor", "score", "tune", "ablate", "paper", "adapt", "train", "weights"),
    "Keep": ("cache", "mend", "version"),
    "Hidden": ("stage", "render"),  # for dvc.yaml
}
COMMANDS = [name for names in SECTIONS.values() for name in names]


def summary(name: str) -> str:
    """What a command does, in a line, without importing it.

    >>> summary("version")
    'Prints versions, and what the processor can do.'
    """
    text = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
    found = re.match(r'"""(.+?)("""|$)', text, re.MULTILINE)
    return found[1] if found else ""
