"""Camera normalization with few pictures: `python -m benchmarks.camera_shrinkage --work FOLDER`.

Query and gallery are normalised by statistics of the gallery in which one camera has only 3, 10 or
100 pictures: of as many people as there are (even), or of as few (uneven). mAP for each shrinkage,
the mean over draws of the pictures. Data, networks and work folder are those of
`benchmarks.real_people`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.real_people import NAMES, Side, Store, load_extractor, load_sides
from pose2id.features import l2_normalize
from pose2id.metrics import evaluate
from pose2id.steps.base import FeatureSet
from pose2id.steps.camera_normalize import camera_normalize

SIZES = (3, 10, 100)
SHRINKAGES = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0)
DRAWS = 10


def rows_left(side: Side, n: int, even: bool, seed: int) -> NDArray[np.int64]:
    """The gallery rows that statistics are taken of: n of one camera, all of the others."""
    rng = np.random.default_rng(seed)
    camera = np.unique(side.camids)[-1]
    order = rng.permutation(np.flatnonzero(side.camids == camera))
    place = rng.permutation(np.unique(side.pids))  # of people, in which they are taken
    rank = np.argsort(place)[np.searchsorted(np.unique(side.pids), side.pids[order])]
    if even:  # everyone's first picture, then everyone's second
        turn = np.array(
            [np.sum(side.pids[order[:i]] == side.pids[row]) for i, row in enumerate(order)]
        )
        chosen = order[np.lexsort((rank, turn))]
    else:
        chosen = order[np.argsort(rank, kind="stable")]
    kept: NDArray[np.int64] = np.concatenate([chosen[:n], np.flatnonzero(side.camids != camera)])
    return kept


def score(
    sides: dict[str, Side],
    sets: dict[str, FeatureSet],
    rows: NDArray[np.int64] | None,
    shrinkage: float,
) -> float:
    """MAP with the statistics of some gallery rows; without normalization where there are none."""
    features = {name: sets[name].features for name in ("query", "gallery")}
    if rows is not None:
        features = {
            name: camera_normalize(
                rows_of,
                sides[name].camids,
                reference=sets["gallery"].features[rows],
                reference_camids=sides["gallery"].camids[rows],
                shrinkage=shrinkage,
            )
            for name, rows_of in features.items()
        }
    query, gallery = sides["query"], sides["gallery"]
    found = evaluate(
        l2_normalize(features["query"]),
        l2_normalize(features["gallery"]),
        query_pids=query.pids,
        gallery_pids=gallery.pids,
        query_camids=query.camids,
        gallery_camids=gallery.camids,
        top_k=0,
    )
    return 100 * found.mAP


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/cuhk03-100"))
    parser.add_argument("--networks", type=Path, default=Path("../shared/models/reid"))
    parser.add_argument("--extractors", nargs="+", choices=NAMES, default=list(NAMES[:-1]))
    parser.add_argument("--work", type=Path, required=True, help="keeps features")
    arguments = parser.parse_args()
    sides = load_sides(arguments.data, 100)
    store = Store(arguments.work, sides)
    print(
        "| features | pictures of one camera | people | off | "
        + " | ".join(f"{s:g}" for s in SHRINKAGES)
        + " |"
    )
    print("|---|---|---|" + "---|" * (1 + len(SHRINKAGES)))
    for name in arguments.extractors:
        extractor = load_extractor(name, arguments.networks, Path("models/ipg-small"))
        sets = {side: store.features(extractor, None, side) for side in ("query", "gallery")}
        off = score(sides, sets, None, 0)
        everything = np.arange(len(sides["gallery"].pids))
        cells = [f"{score(sides, sets, everything, s):.1f}" for s in SHRINKAGES]
        print(f"| {name} | all | all | {off:.1f} | {' | '.join(cells)} |", flush=True)
        for size in SIZES:
            for even in (True, False):
                draws = [rows_left(sides["gallery"], size, even, seed) for seed in range(DRAWS)]
                means = [
                    np.mean([score(sides, sets, rows, s) for rows in draws]) for s in SHRINKAGES
                ]
                people = "even" if even else "uneven"
                cells = [f"{mean:.1f}" for mean in means]
                print(
                    f"| {name} | {size} | {people} | {off:.1f} | {' | '.join(cells)} |", flush=True
                )


if __name__ == "__main__":
    main()
