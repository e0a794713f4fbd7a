"""A look at a feature network before hours are spent on it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from pose2id.distances import FeatureDistances
from pose2id.errors import WeightsError
from pose2id.extractors.base import NO_SIDE, Extractor
from pose2id.extractors.batching import Source, extract
from pose2id.extractors.consistency import (
    MIN_COSINE,
    N_PROBES,
    alone_and_together,
    cosines,
    feature_problem,
    features_of,
    influence,
    probe_pictures,
)
from pose2id.metrics import evaluate

Verdict = Literal["ok", "note", "unusable"]

MAX_LABELLED: Final = 200
# Of different pictures: above the first nothing can be told apart, above the second little.
USELESS_COSINE: Final = 0.9999
NARROW_COSINE: Final = 0.97
CONSTANT_SHARE: Final = 0.5  # of the dimensions
_FLAT: Final = 1e-4  # a dimension whose spread is less than this share of the features' own
_TIMED_BATCHES: Final = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: What it is.
        found: What was found.
        verdict: `ok`, `note` (worth knowing) or `unusable`.
        advice: What to do; `""` where nothing.
    """

    check: str
    found: str
    verdict: Verdict = "ok"
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Pictures of known persons.

    Attributes:
        sources: N callables that return an encoded picture.
        pids: `(N,) int64`.
        camids: `(N,) int64`, -1 = unknown.
        sides: `(N,) int64`, what a network wants to know beside the pixels.
    """

    sources: Sequence[Source]
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]
    sides: NDArray[np.int64]


def examine(
    extractor: Extractor, batch_size: int, labelled: Labelled | None = None
) -> list[Finding]:
    """Looks at a network on made-up pictures and, where there are some, on labelled ones.

    Args:
        extractor: The network, loaded.
        batch_size: Pictures per batch in the run to come.
        labelled: Up to some hundreds of pictures of known persons, at least two of each.

    Returns:
        The findings, in a fixed order; a network with one that is `unusable` must not be run.
    """
    spec = extractor.input_spec
    findings = [
        Finding("input", f"{spec.height_px}x{spec.width_px} px, {spec.channel_order}"),
        Finding("feature", f"{extractor.dim} numbers"),
        _of_company(extractor, batch_size),
    ]
    features = _features(extractor, batch_size, labelled)
    problem = feature_problem(features)
    if problem is not None:
        found, _, advice = problem.partition(": ")
        return [*findings, Finding("values", found, "unusable", advice)]
    findings += [
        Finding("values", f"finite, norm {np.median(np.linalg.norm(features, axis=1)):.3g}"),
        _constant(features),
        _alike(features),
    ]
    if findings[2].verdict != "unusable":
        findings.append(_speed(extractor, batch_size))
    if labelled is not None:
        findings.append(_retrieval(features, labelled))
    return findings


def _features(
    extractor: Extractor, batch_size: int, labelled: Labelled | None
) -> NDArray[np.float32]:
    if labelled is None:
        pictures = probe_pictures(extractor.input_spec, 4 * N_PROBES)
        return np.concatenate([features_of(extractor, picture[None]) for picture in pictures])
    sides = None if extractor.side == "none" else labelled.sides.tolist()
    try:
        features, _ = extract(extractor, labelled.sources, batch_size, sides=sides)
    except WeightsError:  # a frozen batch, which _of_company has reported
        features, _ = extract(extractor, labelled.sources, 1, sides=sides)
    return features


def _of_company(extractor: Extractor, batch_size: int) -> Finding:
    """The same pictures alone and together."""
    check = "alone and in a batch"
    try:
        pictures = probe_pictures(extractor.input_spec)
        alone, together = alone_and_together(extractor, pictures, batch_size)
    except WeightsError as error:
        advice = "set features.batch_size to 1, or export it with a batch of any size"
        return Finding(check, str(error).partition(":")[0], "unusable", advice)
    if not np.isfinite(together).all() or not together.any():
        return Finding(check, "cannot be told", "note")
    lowest = float(cosines(alone, together).min())
    if not lowest >= MIN_COSINE:
        found, _, advice = influence(lowest).partition(": ")
        return Finding(check, found, "unusable", advice)
    return Finding(check, f"cosine {lowest:.6f}")


def _constant(features: NDArray[np.float32]) -> Finding:
    """Dimensions that say the same of every picture."""
    spread = features.astype(np.float64).std(axis=0)
    flat = float((spread <= _FLAT * spread.max()).mean())
    found = f"{100 * flat:.0f} % of the dimensions"
    if flat > CONSTANT_SHARE:
        return Finding("constant", found, "note", "they add nothing; is it the right output?")
    return Finding("constant", found)


def _alike(features: NDArray[np.float32]) -> Finding:
    """Median cosine between different pictures."""
    rows = features.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    pairs = (unit @ unit.T)[np.triu_indices(len(unit), 1)]
    median = float(np.median(pairs))
    check, found = "median cosine of different pictures", f"{median:.4f}"
    if median > USELESS_COSINE:
        advice = "nothing can be told apart: check features.output and features.input"
        return Finding(check, found, "unusable", advice)
    if median > NARROW_COSINE:
        advice = "narrow: check max_value, mean and std of features.input"
        return Finding(check, found, "note", advice)
    return Finding(check, found)


def _speed(extractor: Extractor, batch_size: int) -> Finding:
    pictures = np.resize(
        probe_pictures(extractor.input_spec),
        (batch_size, extractor.input_spec.height_px, extractor.input_spec.width_px, 3),
    )
    features_of(extractor, pictures)
    started = time.perf_counter()
    for _ in range(_TIMED_BATCHES):
        features_of(extractor, pictures)
    rate = _TIMED_BATCHES * batch_size / (time.perf_counter() - started)
    return Finding("speed", f"{rate:.1f} pictures/s in batches of {batch_size}")


def _retrieval(features: NDArray[np.float32], labelled: Labelled) -> Finding:
    """MAP of each picture as a query among all others, beside that of features by chance."""
    usable = np.isfinite(features).all(axis=1) & (np.linalg.norm(features, axis=1) > 0)
    pids, camids = labelled.pids[usable], labelled.camids[usable]
    if (camids == NO_SIDE).any():  # without cameras only the picture itself is left out
        camids = np.arange(len(pids))
    rows = features[usable]
    chance = np.random.default_rng(0).normal(size=rows.shape).astype(np.float32)
    scores = []
    for matrix in (rows, chance):
        unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
        distances = FeatureDistances(unit, unit)
        result = evaluate(
            distances,
            query_pids=pids,
            gallery_pids=pids,
            query_camids=camids,
            gallery_camids=camids,
            top_k=0,
        )
        scores.append(result.mAP)
    found = f"mAP {100 * scores[0]:.1f} on {len(rows)} pictures, {100 * scores[1]:.1f} by chance"
    if scores[0] < 1.5 * scores[1]:
        advice = "hardly better than chance: check features.input and the weights"
        return Finding("retrieval", found, "note", advice)
    return Finding("retrieval", found)


def unusable(findings: Sequence[Finding]) -> bool:
    """Whether a network must not be run.

    Example:
        >>> unusable([Finding("values", "NaN", "unusable")])
        True
    """
    return any(finding.verdict == "unusable" for finding in findings)
