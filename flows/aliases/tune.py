"""Alias of `flows.cli.tune`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("flows.cli.tune", run_name="__main__", alter_sys=True)
