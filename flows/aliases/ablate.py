"""Alias of `flows.cli.ablate`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("flows.cli.ablate", run_name="__main__", alter_sys=True)
