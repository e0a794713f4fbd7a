"""Alias of `flows.cli.stage`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("flows.cli.stage", run_name="__main__", alter_sys=True)
