"""The command `pose2id`, also `python -m pose2id`.

The library is complete without it. The commands belong to the pipeline, which lives beside this
package in a checkout and is no part of the wheel; so they are looked up by their place, never
imported from here.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Runs the command with the arguments of this process."""
    if not (CHECKOUT / "flows" / "cli" / "main.py").is_file():
        sys.exit(_refusal("the commands need a checkout of the project (git clone it, then"))
    if str(CHECKOUT) not in sys.path:
        sys.path.insert(0, str(CHECKOUT))
    try:
        commands = import_module("flows.cli.start")
        commands.main()
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        sys.exit(_refusal("the packages of the pipeline are not installed (in the checkout:"))


def _refusal(reason: str) -> int:
    sys.stderr.write(f"error: {reason} make demo); this is the library alone: import pose2id\n")
    return 2


if __name__ == "__main__":
    main()
