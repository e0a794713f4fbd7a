"""CMC, mAP and mINP of queries against a gallery, by any protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pose2id.arrays import to_numpy
from pose2id.choices import Protocol
from pose2id.distances import DistanceSource, FeatureDistances, MatrixDistances
from pose2id.errors import DataError
from pose2id.labels import Labels
from pose2id.metrics.evaluation import Evaluation
from pose2id.metrics.matching import Matching
from pose2id.metrics.notes import notes_on
from pose2id.metrics.permutations import Permutations
from pose2id.metrics.scoring import Direction, Wanted
from pose2id.metrics.trials import DrawOptions, make_trials
from pose2id.protocols import Rules, rules_of


class Options(TypedDict, total=False):
    """What `evaluate` takes beside distances, labels and protocol; see there."""

    seed: int
    n_draws: int
    permutations: Permutations | None
    people: Sequence[ArrayLike] | None
    backward: DistanceSource | None
    false_positive_rates: tuple[float, ...]
    top_k: int
    max_rank: int
    memory_mib: int


def evaluate(
    query: ArrayLike | DistanceSource,
    gallery: ArrayLike | None = None,
    *,
    query_pids: ArrayLike | None = None,
    gallery_pids: ArrayLike | None = None,
    query_camids: ArrayLike | None = None,
    gallery_camids: ArrayLike | None = None,
    distractors: ArrayLike | None = None,
    query_labels: Labels | None = None,
    gallery_labels: Labels | None = None,
    protocol: Protocol = "market",
    **options: Unpack[Options],
) -> Evaluation:
    """Scores queries against a gallery.

    Distances tie to the lower gallery index, or by a hash of `image_ids` where labels have them.

    Args:
        query: `(Q, D)` features, used as given; or, without `gallery`, a matrix of distances
            `(Q, G)` or a distance source such as `k_reciprocal` returns. Arrays or tensors.
        gallery: `(G, D)` features.
        query_pids: `(Q,)` whole numbers, -1 = unknown; None = no labels at all.
        gallery_pids: `(G,)` likewise. Pid 0 is an identity like any other, see `distractors`.
        query_camids: `(Q,)` whole numbers, -1 = unknown; None = no cameras.
        gallery_camids: `(G,)` likewise.
        distractors: `(G,) bool`, gallery images that match no query whatever their pid.
        query_labels: All labels at once, instead of the single columns.
        gallery_labels: Likewise.
        protocol: Name of the rules, see `PROTOCOLS`.
        **options: `seed` and `n_draws` of draws that no publication fixes (0 and 10);
            `permutations`, SYSU-MM01's; `people`, the persons of each trial of `regdb` or `viper`;
            `backward`, distances of the gallery to the queries, where a protocol scores both
            directions and `query` is a distance source; `false_positive_rates` for which to report
            the true positive rate of verification over all pairs that the rules keep (pairs whose
            distances agree to rounding may change sides); `top_k`, length of the ranked lists, 0
            for none (50); `max_rank`, length of the CMC curve (50); `memory_mib`, bound on a block
            of distances (32).

    Returns:
        The scores. Where no query has a match, or nobody is labelled: ranked lists, every mean NaN,
        and a sentence in `notes`.

    Raises:
        DataError: Unusable features, distances or labels, or a protocol whose column is missing.
        ParamsError: Unknown protocol, or a number out of range.

    Example:
        >>> features = np.array([[0.0, 1.0], [1.0, 0.0], [0.1, 0.9]])
        >>> scores = evaluate(features[:1], features[1:], query_pids=[7], gallery_pids=[8, 7])
        >>> scores.mAP, scores.rank(1)
        (1.0, 1.0)
    """
    rules = rules_of(protocol)
    forward = _distances(query, gallery)
    asking = _labels("query", query_labels, query_pids, query_camids, None)
    asked = _labels("gallery", gallery_labels, gallery_pids, gallery_camids, distractors)
    backward = _other_direction(forward, options.get("backward")) if rules.both_directions else None
    return _evaluate(forward, backward, asking, asked, protocol, rules, options)


def _evaluate(
    forward: DistanceSource,
    backward: DistanceSource | None,
    query: Labels,
    gallery: Labels,
    protocol: Protocol,
    rules: Rules,
    options: Options,
) -> Evaluation:
    wanted = Wanted(**_part(options, Wanted))
    draws = DrawOptions(**_part(options, DrawOptions))
    query.check_length(forward.shape[0], "query")
    gallery.check_length(forward.shape[1], "gallery")
    if not query.known("pids") or not gallery.known("pids"):
        rules = Rules()  # nothing but ranked lists can come of it
        query, gallery = Labels(image_ids=query.image_ids), Labels(image_ids=gallery.image_ids)
        backward = None
    _check_columns(query, gallery, protocol, rules)
    matching = Matching(query, gallery, forward.shape, rules.unseen)
    trials, notes = make_trials(rules, query, gallery, forward.shape, draws)
    first = Direction(forward, matching, trials, rules, wanted, gallery.tie_order)
    scores = first.scores(wanted.max_rank)
    if backward is not None:
        shape = backward.shape
        trials, _ = make_trials(rules, gallery, query, shape, draws)
        turned = Matching(gallery, query, shape, rules.unseen)
        no_lists = Wanted(top_k=0, memory_mib=wanted.memory_mib)
        second = Direction(backward, turned, trials, rules, no_lists, query.tie_order)
        scores += second.scores(wanted.max_rank, backward=True)
    valid: NDArray[np.bool_] = np.any(first.first_hits > 0, axis=0)
    return Evaluation(
        protocol=protocol,
        ap=_mean([*first.ap]),
        inp=_mean([*first.inp]),
        first_hit_rank=_lower_median(first.first_hits),
        n_positives=first.n_positives,
        valid=valid,
        cmc=_mean([trial.cmc for trial in scores]),
        mAP=float(_mean([np.array(trial.mAP) for trial in scores])),
        mINP=float(_mean([np.array(trial.mINP) for trial in scores])),
        tpr_at_fpr=first.tpr_at_fpr,
        rankings=first.lists,
        trials=scores,
        notes=notes_on(query, gallery, matching, rules, first.n_positives, scores) + notes,
    )


def _distances(query: ArrayLike | DistanceSource, gallery: ArrayLike | None) -> DistanceSource:
    if gallery is not None:
        left, right = to_numpy(cast(ArrayLike, query)), to_numpy(gallery)
        if right.ndim != 2:
            raise DataError(
                "the second argument of evaluate is the gallery's features (G, D); received shape "
                f"{right.shape}. Labels are given by name: query_pids=..., gallery_pids=..."
            )
        return FeatureDistances(left, right)
    if hasattr(query, "block") and hasattr(query, "exact"):
        return cast(DistanceSource, query)
    return MatrixDistances(query)


def _other_direction(forward: DistanceSource, given: DistanceSource | None) -> DistanceSource:
    if given is not None:
        if given.shape != forward.shape[::-1]:
            raise DataError(
                f"backward has shape {given.shape}; to turn {forward.shape} around it must be "
                f"{forward.shape[::-1]}."
            )
        return given
    if isinstance(forward, FeatureDistances | MatrixDistances):
        return forward.transposed()
    raise DataError(
        "this protocol scores both directions; give the distances of the gallery to the queries "
        "as well: backward=..."
    )


def _labels(
    side: str,
    labels: Labels | None,
    pids: ArrayLike | None,
    camids: ArrayLike | None,
    distractors: ArrayLike | None,
) -> Labels:
    if labels is None:
        try:
            return Labels(pids, camids, distractors=distractors)
        except DataError as error:
            raise DataError(f"{side} {error}") from error
    if not (pids is None and camids is None and distractors is None):
        raise DataError(
            f"{side}_labels are given, and single columns beside them; put everything into the "
            "labels."
        )
    return labels


def _check_columns(query: Labels, gallery: Labels, protocol: str, rules: Rules) -> None:
    missing = [
        f"{side} {column}"
        for side, labels in (("query", query), ("gallery", gallery))
        for column in rules.needs
        if not labels.known(column)
    ]
    if missing:
        raise DataError(
            f"protocol {protocol} needs {' and '.join(rules.needs)} on both sides; unknown: "
            f"{', '.join(missing)}. Give them, or choose another protocol."
        )


def _part(options: Options, kind: type[Wanted] | type[DrawOptions]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in kind.__slots__}


def _mean(trials: list[np.ndarray]) -> np.ndarray:
    """Mean over those repetitions that have a value, NaN where none has."""
    values = np.stack(trials)
    known = ~np.isnan(values)
    counts = known.sum(axis=0)
    sums = np.where(known, values, 0).sum(axis=0)
    mean: np.ndarray = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return mean


def _lower_median(first_hits: np.ndarray) -> np.ndarray:
    """Per query over the repetitions with a hit, 0 without."""
    ordered = np.sort(np.where(first_hits > 0, first_hits, np.iinfo(np.int64).max), axis=0)
    counts = (first_hits > 0).sum(axis=0)
    middle = ordered[np.maximum(counts - 1, 0) // 2, np.arange(ordered.shape[1])]
    return np.where(counts > 0, middle, 0)
