"""The fault campaign, briefly; `python -m benchmarks.faults` runs it at length."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults import campaign
from benchmarks.stage_faults import FAULTS
from benchmarks.stage_faults import campaign as stage_campaign
from tests.flows.conftest import Stages


@pytest.mark.slow
def test_killed_runs_end_as_undisturbed_ones(tmp_path: Path):
    tally = campaign(tmp_path, kills=4, seed=3, ways=["part"], disks=False, say=lambda line: None)
    assert sum(tally.kills.values()) >= 4
    assert tally.differences == []
    assert tally.refusals == []
    # At most one batch (4 images) that was made is lost by a kill.
    assert tally.most_made_again_per_kill <= 4


def test_faults_of_every_quick_kind_are_mended_or_refused(stages: Stages):
    slow = ("signal", "memory limit", "full disk")  # processes of their own; root's
    kinds = [kind for kind in FAULTS if kind not in slow]
    tally = stage_campaign(stages, faults=16, seed=1, kinds=kinds, tell=lambda line: None)
    assert set(tally) == set(kinds)
    assert tally.failures() == []
