"""Alias of `flows.cli.demo`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("flows.cli.demo", run_name="__main__", alter_sys=True)
