"""Random generators that belong to what they are used for, so that call order never matters."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(*parts: str | int) -> np.random.Generator:
    """Makes the random generator that belongs to a name.

    Args:
        *parts: What the randomness is for, such as `("identity", seed, index)`.

    Returns:
        A generator seeded from the sha256 of the parts: the same for the same parts.

    Example:
        >>> generator("x", 1).integers(10) == generator("x", 1).integers(10)
        np.True_
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
