"""Training-free gains for person re-identification: the method, free of any orchestration.

Arrays or tensors in, the same kind out. Source: Pose2ID, "From Poses to Identity: Training-Free
Person Re-Identification via Feature Centralization" (CVPR 2025, arXiv 2503.00938).

What stands in `__all__` is public. Each name is imported when it is first asked for, so that
`import pose2id` costs nothing and a missing optional package is missed only by what needs it.

Example:
    >>> import numpy as np
    >>> from pose2id import nfc
    >>> walkers = np.array([[1.0, 0.1], [1.0, -0.1], [0.0, 1.0]])
    >>> nfc(walkers, k1=1, k2=1).round(2).tolist()  # the first two are each other's nearest
    [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pose2id.bootstrap import paired_bootstrap
    from pose2id.centralize import fuse, l2_normalize, nfc
    from pose2id.generation.ipg import IpgGenerator
    from pose2id.metrics.density import identity_density
    from pose2id.metrics.evaluate import evaluate
    from pose2id.neighbors import nearest_neighbors
    from pose2id.rerank import k_reciprocal

__version__ = "0.1.0"

_HOMES: Final = {
    "IpgGenerator": "pose2id.generation.ipg",
    "evaluate": "pose2id.metrics.evaluate",
    "fuse": "pose2id.centralize",
    "identity_density": "pose2id.metrics.density",
    "k_reciprocal": "pose2id.rerank",
    "l2_normalize": "pose2id.centralize",
    "nearest_neighbors": "pose2id.neighbors",
    "nfc": "pose2id.centralize",
    "paired_bootstrap": "pose2id.bootstrap",
}
__all__ = [
    "IpgGenerator",
    "evaluate",
    "fuse",
    "identity_density",
    "k_reciprocal",
    "l2_normalize",
    "nearest_neighbors",
    "nfc",
    "paired_bootstrap",
]

if not TYPE_CHECKING:  # a type checker would take any name for one of the package's

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
