"""Alias of `flows.orchestration.watch`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("flows.orchestration.watch", run_name="__main__", alter_sys=True)
