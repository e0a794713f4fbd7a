"""Alias of `flows.cli.render`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("flows.cli.render", run_name="__main__", alter_sys=True)
