"""Alias of `flows.orchestration.serve`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("flows.orchestration.serve", run_name="__main__", alter_sys=True)
