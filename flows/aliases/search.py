"""Alias of `flows.cli.search`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("flows.cli.search", run_name="__main__", alter_sys=True)
