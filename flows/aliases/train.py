"""Alias of `flows.cli.train`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("flows.cli.train", run_name="__main__", alter_sys=True)
