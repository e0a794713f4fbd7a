"""What people wait for again and again loads nothing that it does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tasks.reporting.provenance import params_yaml
from tests.tasks.factory import Spec, write_project

HEAVY = ("torch", "pandas", "matplotlib", "sklearn", "great_expectations", "prefect", "dvc")
CODE = """
import sys
from flows.cli.main import main
try:
    main({arguments})
finally:
    print("loaded:", *[name for name in {heavy} if name in sys.modules], flush=True)
"""


def test_a_small_table_of_results_is_made_without_heavy_libraries(tmp_path: Path):
    params = write_project(tmp_path, Spec())
    (tmp_path / "params.yaml").write_text(params_yaml(params), encoding="utf-8")
    for stage in ("centralize", "score", "report"):
        arguments = ["--root", str(tmp_path), "stage", stage]
        done = subprocess.run(
            [sys.executable, "-c", CODE.format(heavy=HEAVY, arguments=arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1].split() == ["loaded:"], stage
