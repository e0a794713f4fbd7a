"""Distances that a chain ends with: plain ones, or those of its step at scoring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pose2id.features import Floats
from pose2id.steps.chain import Chain, scoring_step
from pose2id.steps.registry import SCORING_STEPS

if TYPE_CHECKING:
    from pose2id.distances import DistanceSource


def chain_distances(
    query: Floats, gallery: Floats, chain: Chain, params: Mapping[str, Any], device: str = "cpu"
) -> tuple[DistanceSource, tuple[str, ...]]:
    """Distances between query and gallery, and notes on them.

    Args:
        query: `(Q, D) float32`, treated by the chain's other steps.
        gallery: `(G, D) float32` likewise.
        chain: The whole chain.
        params: Step -> parameters.
        device: Where large products are computed, see `pose2id.devices.product_device`.
    """
    from pose2id.distances import FeatureDistances

    last = scoring_step(chain)
    if last is None:
        return FeatureDistances(query, gallery, device=device), ()
    distances, notes = SCORING_STEPS[last].distances(query, gallery, params[last], device)
    return distances, notes
