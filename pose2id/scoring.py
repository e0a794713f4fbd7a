"""What features are worth, without a project: as they are, and after chains of steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pose2id.distances import DistanceSource, FeatureDistances
from pose2id.errors import ParamsError
from pose2id.label_files import Side
from pose2id.metrics import Evaluation, Protocol, evaluate
from pose2id.steps.base import FeatureSet
from pose2id.steps.chain import Chain, ChainRunner, scoring_step
from pose2id.steps.registry import SCORING_STEPS

CHAINS: Final[Mapping[str, Chain]] = {
    "base": (),
    "nfc": ("nfc",),
    "camera": ("camera_normalize",),
    "nfc_rerank": ("nfc", "rerank"),
}


def score_features(
    query: Side,
    gallery: Side,
    names: tuple[str, ...] = tuple(CHAINS),
    *,
    protocol: Protocol = "market",
    steps: Mapping[str, Any] | None = None,
) -> Iterator[tuple[str, Evaluation]]:
    """Scores features by some of `CHAINS`.

    Query and gallery go through the steps separately. What two chains begin with is done once if
    they follow each other, and forgotten before the next.

    Args:
        query: The queries.
        gallery: The gallery.
        names: Which chains, keys of `CHAINS`.
        protocol: As in `pose2id.metrics.evaluate`.
        steps: Step name -> its parameters; others take their defaults.

    Yields:
        The name of each chain and its scores.

    Raises:
        DataError: The features or labels do not go together.
        ParamsError: There is no such chain, or a number is out of range.
    """
    if unknown := [name for name in names if name not in CHAINS]:
        raise ParamsError(f"there is no variant {unknown[0]!r}; allowed: {', '.join(CHAINS)}")
    sides = {"query": query, "gallery": gallery}
    begun: Chain = ()
    runner: ChainRunner | None = None
    for name in sorted(names, key=lambda name: CHAINS[name]):
        chain = CHAINS[name]
        if runner is None or chain[:1] != begun[:1]:
            runner = ChainRunner(
                lambda split: FeatureSet(sides[split].features, sides[split].camids),
                steps or {},
                {"gallery": "gallery"},
            )
        begun = chain
        q, g = (runner.run(split, chain).features for split in sides)
        last = scoring_step(chain)
        distances: DistanceSource
        if last is None:
            distances = FeatureDistances(q, g)
        else:
            step = SCORING_STEPS[last]
            distances, _ = step.distances(q, g, (steps or {}).get(last) or step.params(), "cpu")
        del q, g
        yield (
            name,
            evaluate(
                distances,
                query_pids=query.pids,
                gallery_pids=gallery.pids,
                query_camids=query.camids,
                gallery_camids=gallery.camids,
                distractors=gallery.distractors,
                protocol=protocol,
                top_k=0,
            ),
        )
