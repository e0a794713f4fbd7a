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
    from pose2id.extractors.registry import load_extractor
    from pose2id.features import l2_normalize
    from pose2id.generation.ipg import IpgGenerator
    from pose2id.metrics.density import identity_density
    from pose2id.metrics.evaluate import evaluate
    from pose2id.metrics.meter import ReidMetric
    from pose2id.neighbors import nearest_neighbors
    from pose2id.steps.camera_normalize import camera_normalize
    from pose2id.steps.fuse import fuse
    from pose2id.steps.kwf import kwf
    from pose2id.steps.nfc import nfc
    from pose2id.steps.query_expansion import query_expansion
    from pose2id.steps.rerank import k_reciprocal
    from pose2id.steps.second_opinion import second_opinion
    from pose2id.steps.whiten import whiten

__version__ = "0.1.0"

_HOMES: Final = {
    "IpgGenerator": "pose2id.generation.ipg",
    "ReidMetric": "pose2id.metrics.meter",
    "camera_normalize": "pose2id.steps.camera_normalize",
    "evaluate": "pose2id.metrics.evaluate",
    "fuse": "pose2id.steps.fuse",
    "identity_density": "pose2id.metrics.density",
    "k_reciprocal": "pose2id.steps.rerank",
    "kwf": "pose2id.steps.kwf",
    "l2_normalize": "pose2id.features",
    "load_extractor": "pose2id.extractors.registry",
    "nearest_neighbors": "pose2id.neighbors",
    "nfc": "pose2id.steps.nfc",
    "paired_bootstrap": "pose2id.bootstrap",
    "query_expansion": "pose2id.steps.query_expansion",
    "second_opinion": "pose2id.steps.second_opinion",
    "whiten": "pose2id.steps.whiten",
}
__all__ = [
    "IpgGenerator",
    "ReidMetric",
    "camera_normalize",
    "evaluate",
    "fuse",
    "identity_density",
    "k_reciprocal",
    "kwf",
    "l2_normalize",
    "load_extractor",
    "nearest_neighbors",
    "nfc",
    "paired_bootstrap",
    "query_expansion",
    "second_opinion",
    "whiten",
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
