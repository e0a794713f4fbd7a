"""Alias of `pose2id serve`, kept for one release."""

from flows.cli.main import run_alias

if __name__ == "__main__":
    run_alias("serve")
