"""Alias of `flows.cli.results`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("flows.cli.results", run_name="__main__", alter_sys=True)
