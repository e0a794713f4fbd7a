"""Two runs of the pipeline side by side: what each variant gained, and which queries flipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pose2id.bootstrap import paired_bootstrap
from pose2id.errors import DataError
from tasks.tables.store import read_table

LIKE = ("protocol", "n_gallery", "n_queries")  # what makes two runs comparable


@dataclass(frozen=True, slots=True)
class Score:
    """How one query did: its AP, and the rank of the first right answer where there is one."""

    ap: float
    first_hit_rank: int | None


@dataclass(frozen=True, slots=True)
class Results:
    """The results of one run.

    Attributes:
        name: What the user calls it.
        facts: Of each variant, the columns `LIKE` of the summary.
        scores: Of each variant, image id of a query -> its score; queries without AP are left out.
        params: Dotted key -> value of the parameters that the run had.
    """

    name: str
    facts: dict[str, dict[str, Any]]
    scores: dict[str, dict[str, Score]]
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Flip:
    """A query whose first answer became right or wrong."""

    variant: str
    query_id: str
    ap_before: float
    ap_after: float
    rank_before: int | None
    rank_after: int | None

    @property
    def righted(self) -> bool:
        """Whether its first answer is right now."""
        return self.rank_after == 1


@dataclass(frozen=True, slots=True)
class Difference:
    """What became of one variant, over the queries that both runs scored.

    Attributes:
        variant: Its name.
        n_queries: How many queries both runs scored.
        mAP_before: Their mean AP in the first run, 0 to 1.
        mAP_after: In the second.
        delta: Second less first.
        low: Lower end of its 95 % interval, paired over queries.
        high: Upper end.
        n_righted: Queries whose first answer became right.
        n_wronged: Queries whose first answer became wrong.
    """

    variant: str
    n_queries: int
    mAP_before: float
    mAP_after: float
    delta: float
    low: float
    high: float
    n_righted: int
    n_wronged: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A parameter that is another one in the second run; None where a run had none such."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs: differences of the variants that both have, flipped queries, and remarks.

    Flips are sorted by variant, then by how much AP changed, the most first.
    """

    before: str
    after: str
    differences: tuple[Difference, ...]
    flips: tuple[Flip, ...]
    changed: tuple[Changed, ...]
    notes: tuple[str, ...]


def read_results(name: str, summary: Path, queries: Path, params: Mapping[str, Any]) -> Results:
    """Reads the results of a run.

    Args:
        name: What messages call it.
        summary: Its table `summary`.
        queries: Its table `queries`.
        params: Its parameters by dotted key.

    Returns:
        The results.

    Raises:
        DataError: A table is missing or damaged.
    """
    facts = {row["variant"]: row for row in read_table(summary, ["variant", *LIKE]).to_pylist()}
    scores: dict[str, dict[str, Score]] = {variant: {} for variant in facts}
    columns = ["variant", "query_id", "ap", "first_hit_rank"]
    for row in read_table(queries, columns).to_pylist():
        if row["ap"] is not None:
            scores[row["variant"]][row["query_id"]] = Score(row["ap"], row["first_hit_rank"])
    return Results(name, facts, scores, params)


def compare(before: Results, after: Results, *, n_resamples: int, seed: int) -> Comparison:
    """Compares two runs query by query.

    Args:
        before: The first run.
        after: The second run.
        n_resamples: Of the queries, for the intervals.
        seed: Same seed, same intervals.

    Returns:
        The comparison.

    Raises:
        DataError: No variant has a query that both runs scored.
    """
    shared = [name for name in after.scores if name in before.scores]
    differences, flips = list[Difference](), list[Flip]()
    for variant in shared:
        one, two = before.scores[variant], after.scores[variant]
        ids = sorted(one.keys() & two.keys())
        if not ids:
            continue
        ap_before, ap_after = (np.array([run[query].ap for query in ids]) for run in (one, two))
        found = [
            Flip(
                *(variant, query, one[query].ap, two[query].ap),
                *(one[query].first_hit_rank, two[query].first_hit_rank),
            )
            for query in ids
            if (one[query].first_hit_rank == 1) != (two[query].first_hit_rank == 1)
        ]
        n_righted = sum(flip.righted for flip in found)
        differences.append(
            Difference(
                *(variant, len(ids), float(ap_before.mean()), float(ap_after.mean())),
                *paired_bootstrap(ap_before, ap_after, n_resamples, seed),
                *(n_righted, len(found) - n_righted),
            )
        )
        flips += sorted(found, key=lambda flip: -abs(flip.ap_after - flip.ap_before))
    if not differences:
        raise DataError(
            f"{before.name} and {after.name} have no variant with a query that both scored: "
            f"{before.name} has {_sizes(before)}; {after.name} has {_sizes(after)}"
        )
    keys = sorted(before.params.keys() | after.params.keys())
    pairs = [Changed(key, before.params.get(key), after.params.get(key)) for key in keys]
    changed = tuple(pair for pair in pairs if pair.before != pair.after)
    notes = tuple(_notes(before, after))
    return Comparison(before.name, after.name, tuple(differences), tuple(flips), changed, notes)


def _sizes(results: Results) -> str:
    sizes = [f"{name} with {len(scores)}" for name, scores in results.scores.items()]
    return ", ".join(sizes) or "no variant"


def _notes(before: Results, after: Results) -> Iterator[str]:
    """What makes the runs less comparable than they look."""
    for run, other in ((before, after), (after, before)):
        alone = [name for name in run.scores if name not in other.scores]
        if alone:
            yield f"only {run.name} has {', '.join(alone)}"
    for variant, facts in after.facts.items():
        old = before.facts.get(variant, facts)
        unlike = [f"{key} {old[key]} and {facts[key]}" for key in LIKE if old[key] != facts[key]]
        if unlike:
            yield f"not like with like: {', '.join(unlike)}"
            return
