"""What parameters ask of the data that the data cannot give, told as soon as images are counted."""

from __future__ import annotations

from collections import Counter

from tasks.tables.params import Params
from tasks.tables.schema import Layout
from tasks.tables.store import read_table


def doubts_about(params: Params, layout: Layout, split: str) -> list[str]:
    """Sentences about parameters that fit the split badly; nothing here stops a run.

    Args:
        params: All parameters.
        layout: Where the tables are.
        split: A split whose index is there.

    Returns:
        One sentence per parameter: what was asked for, what there is, what will happen.
    """
    table = read_table(layout.index(split), ["pid", "camid", "distractor"])
    n_images = table.num_rows
    found = []
    used = {step for chain in params.variants.values() for step in chain}
    for name, step in params.centralize.by_step().items():
        for key in ("k", "k1"):
            k = getattr(step, key, 0)
            if name in used and k != "auto" and k >= n_images:
                found.append(
                    f"centralize.{name}.{key} is {k}, but split {split!r} has {n_images} image(s); "
                    f"at most {n_images - 1} neighbours are taken there"
                )
    scored = (params.score.query, params.score.gallery)
    other = scored[1 - scored.index(split)] if split in scored else None
    if other is not None and "rerank" in used and layout.index(other).is_file():
        n_together = n_images + read_table(layout.index(other), ["pid"]).num_rows
        rerank = params.score.step("rerank")
        if max(rerank.k1, rerank.k2 - 1) >= n_together:
            found.append(
                f"score.rerank has k1 {rerank.k1} and k2 {rerank.k2}, but query and gallery have "
                f"{n_together} images together; at most {n_together - 1} neighbours are taken"
            )
    if split == params.tune.split:
        rows = [row for row in table.to_pylist() if not row["distractor"]]
        pids = Counter(row["pid"] for row in rows if row["pid"] is not None)
        n_people = sum(count > 1 for count in pids.values())
        if n_people < 2:
            found.append(
                f"split {split!r} has {n_people} people with two images or more, and choosing "
                "parameters takes two; the pipeline runs with the safe chain, pose2id tune will not"
            )
    if split == params.score.gallery and all(
        pid is None for pid in table.column("pid").to_pylist()
    ):
        found.append(
            f"split {split!r} has no labels: there will be ranked lists and no mAP or Rank-1"
        )
    return found
