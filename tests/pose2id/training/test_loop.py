from __future__ import annotations

import csv
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pose2id.errors import ParamsError, WeightsError
from pose2id.training.loop import LoopConfig, learning_rate, train, watched

CONFIG = LoopConfig(
    seed=3, steps=40, lr=0.05, warmup_steps=5, checkpoint_every=4, sample_every=20, accumulation=2
)


class Regression:
    """Learns a fixed linear map from batches drawn per step; has running statistics to resume."""

    name = "toy"
    settings = "toy"

    def __init__(self, delay_s: float = 0.0):
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
        self._delay_s = delay_s

    def loss(self, random):
        time.sleep(self._delay_s)
        x = random.normal(16, 4) + 0.1 * float(random.numpy.normal())
        return (self.network(x)[:, 0] - x.sum(dim=1)).pow(2).mean()

    def sample_grid(self):
        return np.zeros((4, 4, 3), np.uint8)


def _losses(folder: Path) -> list[tuple[str, str, str]]:
    with (folder / "loss.csv").open(newline="") as stream:
        return [(row["step"], row["loss"], row["grad_norm"]) for row in csv.DictReader(stream)]


def _run_slowly(folder: Path) -> None:
    train(Regression(delay_s=0.02), CONFIG, folder)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    job = Regression()
    train(job, CONFIG, folder)
    return _losses(folder), job.network.state_dict()


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path, uninterrupted):
    # A forked copy of a process whose threads hold locks, as torch's do, would wait for ever.
    process = multiprocessing.get_context("spawn").Process(target=_run_slowly, args=(tmp_path,))
    process.start()
    while not (tmp_path / "checkpoint.pt").is_file():
        assert process.is_alive(), "ended before its first checkpoint"
        time.sleep(0.01)
    time.sleep(0.15)  # somewhere between two checkpoints
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert len(_losses(tmp_path)) < CONFIG.steps
    job = Regression()
    train(job, CONFIG, tmp_path)
    losses, weights = uninterrupted
    assert _losses(tmp_path) == losses
    for name, tensor in job.network.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


def test_stopping_after_some_steps_and_going_on_changes_nothing(tmp_path, uninterrupted):
    train(Regression(), CONFIG, tmp_path, stop_after=7)
    assert len(_losses(tmp_path)) == 7
    train(Regression(), CONFIG, tmp_path)
    assert _losses(tmp_path) == uninterrupted[0]


def test_the_network_ends_with_averaged_weights_and_learns(tmp_path, uninterrupted):
    losses = [float(loss) for _, loss, _ in uninterrupted[0]]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    job = Regression()
    train(job, CONFIG, tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    for name, average in state["ema"].items():
        assert torch.equal(job.network.state_dict()[name], average)
    assert not torch.equal(state["ema"]["0.weight"], state["model"]["0.weight"])


def test_samples_are_written_at_their_steps(tmp_path):
    train(Regression(), CONFIG, tmp_path)
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == [
        "000020.png",
        "000040.png",
    ]


def test_a_run_can_be_prolonged_but_not_changed(tmp_path):
    train(Regression(), replace(CONFIG, steps=4), tmp_path)
    train(Regression(), replace(CONFIG, steps=8), tmp_path)
    assert len(_losses(tmp_path)) == 8
    with pytest.raises(ParamsError, match="other settings"):
        train(Regression(), replace(CONFIG, steps=8, lr=0.01), tmp_path)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    train(Regression(), replace(CONFIG, steps=4), tmp_path)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(WeightsError, match="not a readable training checkpoint"):
        train(Regression(), CONFIG, tmp_path)


def test_the_rate_warms_up_stays_and_falls_to_zero():
    config = LoopConfig(seed=0, steps=100, lr=2.0, warmup_steps=10, decay_fraction=0.4)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert set(rates[10:60]) == {2.0}
    assert all(a > b for a, b in pairwise(rates[61:]))
    assert rates[-1] < 0.01


def test_whoever_watches_sees_every_step_and_none_of_later_runs(tmp_path: Path):
    seen: list[tuple[str, int, int]] = []
    with watched(lambda *step: seen.append(step)):
        train(Regression(), CONFIG, tmp_path / "watched", stop_after=3)
        train(Regression(), CONFIG, tmp_path / "watched", stop_after=4)  # goes on
    train(Regression(), CONFIG, tmp_path / "alone", stop_after=2)
    assert seen == [("toy", 1, 3), ("toy", 2, 3), ("toy", 3, 3), ("toy", 4, 4)]
