"""Alias of `flows.orchestration.pipeline`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("flows.orchestration.pipeline", run_name="__main__", alter_sys=True)
