"""Alias of `flows.cli.query`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("flows.cli.query", run_name="__main__", alter_sys=True)
