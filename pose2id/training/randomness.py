"""Randomness as a function of (seed, job, step), so that a resumed run repeats each step."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor


class StepRandom:
    """All random draws of one training step.

    Integers and floats come from `numpy`, tensors from a `torch.Generator` on the CPU (then moved),
    so that the draws do not depend on the device.

    Attributes:
        numpy: Generator for choices of pictures and identities.
        step: The optimizer's step, for settings that change during a run.
    """

    def __init__(self, seed: int, job: str, batch: int, step: int) -> None:
        """Seeds the draws of one batch.

        Args:
            seed: The run's seed.
            job: The job's name.
            batch: Number of the batch; more than one makes a step under accumulation.
            step: The optimizer's step.
        """
        self.step = step
        digest = hashlib.sha256(f"{job}:{seed}:{batch}".encode()).digest()
        self.numpy = np.random.default_rng(int.from_bytes(digest[:16], "little"))
        self._torch = torch.Generator().manual_seed(int.from_bytes(digest[16:24], "little") >> 1)

    def normal(self, *shape: int) -> Tensor:
        """Draws standard normal numbers.

        Args:
            *shape: Shape of the result.

        Returns:
            `shape float32` on the CPU.
        """
        return torch.randn(shape, generator=self._torch)

    def uniform(self, *shape: int) -> Tensor:
        """Draws uniform numbers from [0, 1).

        Args:
            *shape: Shape of the result.

        Returns:
            `shape float32` on the CPU.
        """
        return torch.rand(shape, generator=self._torch)
