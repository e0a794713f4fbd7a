"""Alias of `flows.cli.weights`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("flows.cli.weights", run_name="__main__", alter_sys=True)
