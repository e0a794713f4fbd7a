"""Scores of a ReID model: CMC, mAP, mINP, ranked lists, identity density (ID2) and camera bias."""

from __future__ import annotations

from pose2id.choices import Protocol
from pose2id.distances import DistanceSource, FeatureDistances, MatrixDistances
from pose2id.labels import Labels
from pose2id.metrics.camera_bias import CameraBias, camera_bias
from pose2id.metrics.density import identity_density
from pose2id.metrics.evaluate import evaluate
from pose2id.metrics.evaluation import Evaluation, Rankings, TrialScores
from pose2id.metrics.meter import ReidMetric
from pose2id.metrics.permutations import read_permutations
from pose2id.protocols import PROTOCOLS

__all__ = [
    "PROTOCOLS",
    "CameraBias",
    "DistanceSource",
    "Evaluation",
    "FeatureDistances",
    "Labels",
    "MatrixDistances",
    "Protocol",
    "Rankings",
    "ReidMetric",
    "TrialScores",
    "camera_bias",
    "evaluate",
    "identity_density",
    "read_permutations",
]
