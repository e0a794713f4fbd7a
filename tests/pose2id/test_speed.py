"""Settings of a process that buy speed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# Fills eight megabytes again and again; prints how many pages the kernel had to clear for it.
FILLS = """
import resource, sys
import torch
from pose2id.speed import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
for _ in range(2):  # what the first ones take, the others find
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(2**21)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
def test_freed_memory_is_kept_even_where_dask_has_set_a_limit():
    def pages(how: str) -> int:
        environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", FILLS, how]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert 10 * pages("kept") < pages("given back")
