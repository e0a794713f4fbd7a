"""Where `pose2id` starts: a small stage that DVC asks for is left to the warm process."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command with the arguments of this process."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["stage"]:
        from flows.process.warm import run_warm

        code = run_warm(arguments)
        if code is not None:
            sys.exit(code)
    from flows.cli.main import main as run

    run(arguments)
