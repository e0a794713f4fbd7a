"""Alias of `pose2id search`, kept for one release."""

from flows.cli.main import run_alias

if __name__ == "__main__":
    run_alias("search")
