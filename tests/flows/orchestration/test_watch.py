"""The pipeline runs when images have arrived, changed or gone, and only then."""

from __future__ import annotations

import os
import subprocess
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from flows.cli import watch
from tests.flows.conftest import Stages


@pytest.fixture
def calls(stages: Stages, monkeypatch) -> list[int]:
    """Exit codes of the pipeline runs to come; one is used up by each run."""
    codes: list[int] = []
    monkeypatch.chdir(stages.root)
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=codes.pop(0))
    )
    return codes


def look() -> int:
    return CliRunner().invoke(watch.app, ["--once"]).exit_code


def test_nothing_runs_until_something_has_changed(stages: Stages, calls: list[int]):
    calls.append(0)
    assert look() == 0
    assert look() == 0  # a second run would find no exit code left
    assert calls == []


@pytest.mark.parametrize("change", ["arrived", "changed", "gone", "renamed"])
def test_every_kind_of_change_is_seen(stages: Stages, calls: list[int], change: str):
    calls += [0, 0]
    look()
    path = stages.images("query") / "0001_c1s1_000001_00.png"
    if change == "arrived":
        stages.add_image("gallery", "0007_c1s1_000001_00.png")
    elif change == "changed":
        os.utime(path, (1, 1))
    elif change == "gone":
        path.unlink()
    else:
        path.rename(path.with_name("0001_c1s1_000002_00.png"))
    look()
    assert calls == []


def test_a_failed_run_is_tried_again(stages: Stages, calls: list[int]):
    calls += [3, 0]
    assert look() == 3
    assert look() == 0
    assert calls == []
