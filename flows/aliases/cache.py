"""Alias of `flows.cli.cache`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("flows.cli.cache", run_name="__main__", alter_sys=True)
