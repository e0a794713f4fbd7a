"""The fault campaign, briefly; `python -m benchmarks.faults` runs it at length."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults import campaign


@pytest.mark.slow
def test_killed_runs_end_as_undisturbed_ones(tmp_path: Path):
    tally = campaign(tmp_path, kills=4, seed=3, ways=["part"], disks=False, say=lambda line: None)
    assert sum(tally.kills.values()) >= 4
    assert tally.differences == []
    assert tally.refusals == []
    # At most one batch (4 images) that was made is lost by a kill.
    assert tally.most_made_again_per_kill <= 4
