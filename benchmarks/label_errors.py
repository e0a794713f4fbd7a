"""Planted label errors in a finished project: `python -m benchmarks.label_errors [VARIANT]`.

Of the people that query and gallery show, 8 get one image under the id of somebody else, 6 are
parted into two ids, and 6 ids get a second person: 20 errors in 26 people. What `find_label_errors`
finds in these labels is compared with what was planted; ten draws. What it already finds in the
labels as they are is said, too, and counts as wrong.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pose2id.label_errors import NOBODY, find_label_errors
from tasks.tables.params import load_params
from tasks.tables.schema import Layout
from tasks.tables.store import read_table, vectors

N_WRONG, N_SAME, N_TWO, N_DRAWS = 8, 6, 6, 10
KINDS = ("wrong_person", "same_person", "two_persons")
Ints = NDArray[np.int64]
Found = dict[str, set[object]]


def read_images(variant: str | None) -> tuple[str, NDArray[np.float32], Ints, Ints, int]:
    """The variant, features, pids and cameras of query and gallery, and the k that votes."""
    params, layout = load_params(Path("params.yaml")), Layout()
    name = params.features_of(variant) if variant else params.audited_variant
    features, rows = [], []
    for split in (params.score.query, params.score.gallery):
        table = read_table(layout.centralized(split) / f"{name}.parquet", ["image_id", "feature"])
        index = {row["image_id"]: row for row in read_table(layout.index(split)).to_pylist()}
        features.append(vectors(table))
        rows += [index[image_id] for image_id in table.column("image_id").to_pylist()]
    pids = np.array([NOBODY if row["distractor"] else row["pid"] for row in rows], np.int64)
    camids = np.array([row["camid"] for row in rows], np.int64)
    return name, np.concatenate(features), pids, camids, params.audit.k


def plant(pids: Ints, rng: np.random.Generator) -> tuple[Ints, Found]:
    """Labels with 20 errors, and where they are."""
    new, true = pids.copy(), {kind: set[object]() for kind in KINDS}
    order = rng.permutation(np.unique(pids[pids != NOBODY]))
    wrong, same, two, right = np.split(order, np.cumsum([N_WRONG, N_SAME, 2 * N_TWO]))
    for who in wrong:
        row = rng.choice(np.flatnonzero(pids == who))
        new[row] = rng.choice(right)
        true["wrong_person"].add(int(row))
    for other, who in enumerate(same, start=int(order.max()) + 1):
        rows = rng.permutation(np.flatnonzero(pids == who))
        new[rows[: len(rows) // 2]] = other
        true["same_person"].add(frozenset((int(who), other)))
    for who, other in two.reshape(-1, 2):
        new[pids == other] = who
        true["two_persons"].add(int(who))
    return new, true


def find(features: NDArray[np.float32], pids: Ints, camids: Ints, k: int) -> Found:
    """What is found, as `plant` names it."""
    found = find_label_errors(features, pids, camids, k=k)
    return {
        "wrong_person": {item.row for item in found.wrong_person},
        "same_person": {frozenset((item.pid, item.other_pid)) for item in found.same_person},
        "two_persons": {item.pid for item in found.two_persons},
    }


def main() -> None:
    """Prints precision and recall of each kind, and of all together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", nargs="?", help="whose features; those of the audit by default")
    variant, features, pids, camids, k = read_images(parser.parse_args().variant)
    before = find(features, pids, camids, k)
    counts = dict.fromkeys(KINDS, np.zeros(3, np.int64))
    for seed in range(N_DRAWS):
        planted, true = plant(pids, np.random.default_rng(seed))
        found = find(features, planted, camids, k)
        for kind in KINDS:
            hits = len(found[kind] & true[kind])
            counts[kind] = counts[kind] + [hits, len(found[kind]), len(true[kind])]
    people = len(np.unique(pids[pids != NOBODY]))
    print(f"{len(features)} images of {people} people, features {variant}, k {k}, {N_DRAWS} draws")
    print("in the labels as they are:", {kind: len(items) for kind, items in before.items()})
    for kind, (hits, n_found, n_true) in [*counts.items(), ("all", sum(counts.values()))]:
        print(f"{kind:13} precision {hits / n_found:.2f}  recall {hits / n_true:.2f}")


if __name__ == "__main__":
    main()
