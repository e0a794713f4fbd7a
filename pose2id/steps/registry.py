"""The steps that a chain can name. A new step is a module beside this one and a line here."""

from __future__ import annotations

from typing import Any

from pose2id.steps import (
    camera_normalize,
    fuse,
    kwf,
    nfc,
    query_expansion,
    rerank,
    second_opinion,
    whiten,
)
from pose2id.steps.base import ScoringStep, Step

STEPS: dict[str, Step[Any]] = {
    step.name: step
    for step in (
        fuse.STEP,
        nfc.STEP,
        camera_normalize.STEP,
        second_opinion.STEP,
        kwf.STEP,
        query_expansion.STEP,
        whiten.STEP,
    )
}
SCORING_STEPS: dict[str, ScoringStep[Any]] = {step.name: step for step in (rerank.STEP,)}
