"""Scores of a ReID model: CMC, mAP, mINP, ranked lists, and identity density (ID2)."""

from __future__ import annotations

from pose2id.distances import DistanceSource, FeatureDistances, MatrixDistances
from pose2id.metrics.density import identity_density
from pose2id.metrics.evaluate import evaluate
from pose2id.metrics.evaluation import Evaluation, Rankings
from pose2id.metrics.protocols import Protocol

__all__ = [
    "DistanceSource",
    "Evaluation",
    "FeatureDistances",
    "MatrixDistances",
    "Protocol",
    "Rankings",
    "evaluate",
    "identity_density",
]
