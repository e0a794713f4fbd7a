"""Sentences on what labels left out of a result, and what to do about it."""

from __future__ import annotations

import numpy as np

from pose2id.labels import Labels, unknown_of
from pose2id.metrics.evaluation import TrialScores
from pose2id.metrics.matching import Matching
from pose2id.protocols import Rules

_HIDDEN = {
    "camera": "images of the query's own camera",
    "same_clothes": "images in the query's clothes",
    "other_clothes": "images in other clothes",
    "tracklet": "images of the query's own tracklet",
    "group": "images of the query's own group",
    "sysu_place": "camera 2 for queries of camera 3",
}
NO_PIDS = "no person ids on one side: ranked lists only, no metric can be given"
NO_CAMIDS = "no camera ids on one side: images of the query's own camera are not left out"


def notes_on(
    query: Labels,
    gallery: Labels,
    matching: Matching,
    rules: Rules,
    n_positives: np.ndarray,
    trials: tuple[TrialScores, ...],
) -> tuple[str, ...]:
    """What a reader of the scores should know.

    Args:
        query: Labels of the queries.
        gallery: Labels of the gallery.
        matching: Who matches whom.
        rules: The protocol.
        n_positives: `(Q,)` positives of each query.
        trials: Scores of the repetitions.
    """
    if not query.known("pids") or not gallery.known("pids"):
        return (NO_PIDS,)
    notes = []
    if "camera" in rules.unseen and not (query.known("camids") and gallery.known("camids")):
        notes.append(NO_CAMIDS)
    if not n_positives.any():
        notes.append(_why_none(gallery, matching, rules))
    elif not n_positives.all():
        n_without = int((n_positives == 0).sum())
        notes.append(
            f"{n_without} of {len(n_positives)} queries have no match that they may see and leave "
            "every mean"
        )
    shared = _modalities(query) & _modalities(gallery)
    if rules.cross_modal and shared:
        notes.append(
            f"queries and gallery both hold {', '.join(sorted(shared))} images, while this "
            "protocol compares two modalities"
        )
    if rules.both_directions:
        for name, backward in (("query to gallery", False), ("gallery to query", True)):
            parts = [t.mAP for t in trials if t.backward == backward]
            if not np.isnan(parts).all():
                notes.append(f"{name}: mAP {np.nanmean(parts):.4f}")
    return tuple(notes)


def _why_none(gallery: Labels, matching: Matching, rules: Rules) -> str:
    start = "no query has a match, so no metric can be given: "
    n_pairs = matching.n_same_person()
    if n_pairs:
        hidden = [_HIDDEN[rule] for rule in rules.unseen] or ["the query itself"]
        return (
            f"{start}the protocol hides {' and '.join(hidden)}, and those are all {n_pairs} pairs "
            'of one person; with protocol "none" they would count'
        )
    if gallery.distractors is not None and gallery.distractors.all():
        return f"{start}the gallery holds distractors alone"
    return f"{start}query and gallery share no person; check the person ids of both sides"


def _modalities(labels: Labels) -> set[str]:
    if labels.modality is None:
        return set()
    return set(map(str, labels.modality.tolist())) - {str(unknown_of(labels.modality))}
