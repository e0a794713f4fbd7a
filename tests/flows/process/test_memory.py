import subprocess
import sys

import pytest

from flows.process.memory import OutOfMemoryError, explained_memory_errors

LIMITED = """
import resource, sys
import numpy as np
from flows.cli.console import friendly_errors
resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
with friendly_errors():
    if sys.argv[1] == "numpy":
        np.ones(2**33)
    elif sys.argv[1] == "arrow":
        import pyarrow as pa
        pa.allocate_buffer(2**34)
    elif sys.argv[1] == "python":
        bytearray(2**34)
    else:
        import duckdb
        duckdb.sql("SELECT list(range) FROM range(1000000000)").fetchall()
"""


@pytest.mark.parametrize("library", ["numpy", "arrow", "python", "duckdb"])
def test_a_limit_on_memory_is_one_line(library):
    command = [sys.executable, "-c", LIMITED, library]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert "not enough memory" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("can't start new thread"),
    ],
)
def test_every_library_has_its_way_to_say_it(error):
    said = r"generate query 3/8.*batch_size"
    with (
        pytest.raises(OutOfMemoryError, match=said),
        explained_memory_errors("generate query 3/8"),
    ):
        raise error


def test_other_defects_keep_their_traceback():
    with pytest.raises(RuntimeError, match=r"^shape$"), explained_memory_errors("x"):
        raise RuntimeError("shape")
