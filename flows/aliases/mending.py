"""Alias of `flows.process.repair`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("flows.process.repair", run_name="__main__", alter_sys=True)
