"""The loop shared by all jobs: AdamW, EMA, clipping, exact resume, loss log, sample grids."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from pose2id.errors import ParamsError
from pose2id.training import checkpoint
from pose2id.training.randomness import StepRandom

logger = logging.getLogger(__name__)

PROBE_STEPS = 10
"""Steps on which a run's speed is measured."""

OnStep = Callable[[str, int, int], None]
"""Takes a job's name, how many of its steps are done, and how many there are."""
_on_step: ContextVar[OnStep | None] = ContextVar("on_step", default=None)

LOG_HEADER = "step,loss,grad_norm,lr\n"


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """Settings of a run.

    Attributes:
        seed: Seed of every draw.
        steps: Optimizer steps of the whole run.
        lr: Peak learning rate; warmed up linearly, held, then brought down to 0 by a cosine.
        warmup_steps: Steps of the warm-up.
        decay_fraction: Part of `steps` at the end over which the rate falls.
        weight_decay: AdamW's, on matrices and kernels only.
        ema_decay: Of the moving average of the weights; reached gradually.
        grad_clip: Largest norm of the gradient.
        accumulation: Batches per optimizer step.
        precision: `bf16` runs the forward pass under autocast.
        checkpoint_every: Steps between checkpoints.
        sample_every: Steps between sample grids.
    """

    seed: int
    steps: int
    lr: float
    warmup_steps: int = 100
    decay_fraction: float = 0.3
    weight_decay: float = 0.01
    ema_decay: float = 0.999
    grad_clip: float = 1.0
    accumulation: int = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    checkpoint_every: int = 200
    sample_every: int = 1000

    def recipe(self, job: str) -> str:
        """Names what must not change between a checkpoint and its continuation.

        The number of steps may change: a run can be prolonged or brought to its end earlier.

        Args:
            job: Name of the job together with its own settings.

        Returns:
            Hex sha256.
        """
        fixed = replace(self, steps=0, decay_fraction=0.0, checkpoint_every=1, sample_every=1)
        return hashlib.sha256(f"{job}|{fixed}".encode()).hexdigest()


class Job(Protocol):
    """What is trained.

    Attributes:
        name: `vae`, `identity` or `ipg`.
        settings: Text that determines the job's losses besides `LoopConfig`.
    """

    name: str
    settings: str

    @property
    def network(self) -> nn.Module:
        """The module whose parameters are trained."""
        ...

    def loss(self, random: StepRandom) -> Tensor:
        """Computes the loss of one batch drawn by `random`; returns a scalar with a graph."""
        ...

    def sample_grid(self) -> NDArray[np.uint8]:
        """Draws a fixed set of samples with the current weights; returns `(H, W, 3) uint8`."""
        ...


def learning_rate(config: LoopConfig, step: int) -> float:
    """The learning rate of a step: linear warm-up, plateau, cosine to zero.

    Args:
        config: The run's settings.
        step: 0-based step.

    Returns:
        The rate.

    >>> config = LoopConfig(seed=0, steps=100, lr=1.0, warmup_steps=10, decay_fraction=0.5)
    >>> [round(learning_rate(config, step), 2) for step in (0, 9, 50, 75, 99)]
    [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    decay_steps = config.steps * config.decay_fraction
    decay_start = config.steps - decay_steps
    if step <= decay_start:
        return config.lr * warm
    progress = (step - decay_start) / decay_steps
    return float(config.lr * warm * 0.5 * (1.0 + np.cos(np.pi * progress)))


def _optimizer(network: nn.Module, config: LoopConfig) -> torch.optim.AdamW:
    trained = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.99), foreach=True)


class _Ema:
    """Moving average of every floating entry of a module's state."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._live = [t for t in network.state_dict().values() if t.is_floating_point()]
        self._names = [k for k, t in network.state_dict().items() if t.is_floating_point()]
        self._decay = decay
        self.average = [t.detach().clone() for t in self._live]

    def update(self, step: int) -> None:
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.average, self._live, 1.0 - decay)

    def state(self) -> dict[str, Tensor]:
        return dict(zip(self._names, self.average, strict=True))

    def load(self, state: dict[str, Tensor]) -> None:
        for name, tensor in zip(self._names, self.average, strict=True):
            tensor.copy_(state[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Puts the average into the network for the length of the block."""
        kept = [t.detach().clone() for t in self._live]
        with torch.no_grad():
            for live, average in zip(self._live, self.average, strict=True):
                live.copy_(average)
            try:
                yield
            finally:
                for live, old in zip(self._live, kept, strict=True):
                    live.copy_(old)


def _cut_log(path: Path, step: int) -> None:
    """Keeps the rows before `step`: what a killed run logged after its checkpoint is done again."""
    rows = path.read_text().splitlines(keepends=True)[1:] if path.is_file() else []
    kept = [row for row in rows if row.endswith("\n") and int(row.split(",", 1)[0]) < step]
    path.write_text(LOG_HEADER + "".join(kept))


def _write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    temporary = path.with_suffix(".tmp")
    Image.fromarray(picture).save(temporary, format="PNG")
    temporary.replace(path)


@contextmanager
def watched(on_step: OnStep) -> Iterator[None]:
    """Within it, every training of this thread reports each of its steps.

    Args:
        on_step: Called after each step, for a progress bar.
    """
    token = _on_step.set(on_step)
    try:
        yield
    finally:
        _on_step.reset(token)


def train(job: Job, config: LoopConfig, folder: Path, stop_after: int | None = None) -> None:
    """Runs a job to its end, from its last checkpoint where there is one.

    `folder` receives `checkpoint.pt`, `loss.csv` (one row per step) and `samples/<step>.png`.
    At the end the network holds the averaged weights.

    Args:
        job: What is trained.
        config: Settings of the run.
        folder: The run's folder, made if missing.
        stop_after: Stop once this many steps are done (the schedule still spans `config.steps`).

    Raises:
        ParamsError: The folder holds a checkpoint of a run with other settings.
        WeightsError: The checkpoint is not readable.
    """
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    path = folder / "checkpoint.pt"
    network, device = job.network, next(job.network.parameters()).device
    optimizer, ema = _optimizer(network, config), _Ema(network, config.ema_decay)
    recipe = config.recipe(f"{job.name}|{job.settings}")
    start = 0
    if path.is_file():
        state = checkpoint.load(path)
        if state.recipe != recipe:
            raise ParamsError(
                f"{path} was written with other settings than the ones given now. Use the old "
                "settings, or another output folder, or delete the checkpoint to start over."
            )
        network.load_state_dict(state.model)
        ema.load(state.ema)
        optimizer.load_state_dict(state.optimizer)
        start = state.step
    _cut_log(folder / "loss.csv", start)
    last = config.steps if stop_after is None else min(config.steps, stop_after)
    logger.info("%s: %d of %d steps done", job.name, start, config.steps)

    on_step = _on_step.get()
    with (folder / "loss.csv").open("a", buffering=1) as log:
        started = time.monotonic()
        for step in range(start, last):
            lr = learning_rate(config, step)
            loss, norm = _step(job, config, optimizer, step, lr, device)
            ema.update(step)
            log.write(f"{step},{loss:.8g},{norm:.8g},{lr:.8g}\n")
            done = step + 1
            if on_step is not None:
                on_step(job.name, done, last)
            if done % config.checkpoint_every == 0 or done == last:
                log.flush()
                checkpoint.save(
                    path,
                    checkpoint.Checkpoint(
                        done, recipe, network.state_dict(), ema.state(), optimizer.state_dict()
                    ),
                )
                rate = (done - start) / (time.monotonic() - started)
                logger.info("%s %d/%d loss %.4f, %.2f steps/s", job.name, done, last, loss, rate)
            if done % config.sample_every == 0 or done == last:
                with ema.applied():
                    _write_png(folder / "samples" / f"{done:06d}.png", job.sample_grid())
    with torch.no_grad():
        network.load_state_dict({**network.state_dict(), **ema.state()})


def steps_within(job: Job, config: LoopConfig, folder: Path, seconds: float) -> LoopConfig:
    """Shortens a run to the steps that fit into a time, measured on its first steps.

    What was found is kept in `folder/steps.json`, so that a run that was killed goes on by the same
    schedule and ends with the same weights, however long it stood still. For another time the steps
    are found anew: a finished run can be prolonged.

    Args:
        job: What is trained.
        config: Settings of the run; its number of steps is the most that are done.
        folder: The run's folder, made if missing.
        seconds: Time for all steps together.

    Returns:
        The settings with the number of steps.
    """
    path = folder / "steps.json"
    decided = json.loads(path.read_text()) if path.is_file() else {}
    if decided.get("seconds") != seconds:
        folder.mkdir(parents=True, exist_ok=True)
        done = _steps_done(folder)
        probe = min(config.steps, done + PROBE_STEPS)
        started = time.monotonic()
        # No rate falls yet, whatever the length of the run turns out to be.
        train(job, replace(config, steps=max(config.steps, 10 * probe)), folder, probe)
        per_step = (time.monotonic() - started) / max(1, probe - done)
        steps = max(probe, min(config.steps, int(seconds / per_step)))
        decided = {"seconds": seconds, "steps": steps}
        logger.info("%s: %.2f s a step, so %d steps", job.name, per_step, steps)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(decided) + "\n")
        temporary.replace(path)
    return replace(config, steps=int(decided["steps"]))


def _steps_done(folder: Path) -> int:
    path = folder / "checkpoint.pt"
    return checkpoint.load(path).step if path.is_file() else 0


def _step(
    job: Job,
    config: LoopConfig,
    optimizer: torch.optim.AdamW,
    step: int,
    lr: float,
    device: torch.device,
) -> tuple[float, float]:
    """Does one optimizer step; returns the loss and the gradient's norm before clipping."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.zero_grad(set_to_none=True)
    total = 0.0
    for part in range(config.accumulation):
        random = StepRandom(config.seed, job.name, step * config.accumulation + part, step)
        bf16 = config.precision == "bf16"
        with torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext():
            loss = job.loss(random) / config.accumulation
        torch.autograd.backward(loss)
        total += loss.item()
    norm = nn.utils.clip_grad_norm_(job.network.parameters(), config.grad_clip)
    optimizer.step()
    return total, float(norm)
