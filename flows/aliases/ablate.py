"""Alias of `pose2id ablate`, kept for one release."""

from flows.cli.main import run_alias

if __name__ == "__main__":
    run_alias("ablate")
