"""What drawings give of what real pictures give: `python -m benchmarks.orientation_bound`.

Two cameras photographed each person of the dataset from eight sides. What a perfect generator could
give is measured with real pictures: the person's seven other sides by the same camera are fused
into each query, which is searched among the other camera's pictures. In their place come the
drawings of each generator; the share is their gain over base as a part of the bound's. Every row
has the best eta for itself, the bound as well: so both are a little too good. The bound uses the
labels, so it is no method.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.real_people import NAMES, Side, Store, load_extractor, load_generator
from pose2id.bootstrap import paired_bootstrap
from pose2id.errors import DataError
from pose2id.features import l2_normalize
from pose2id.labels import Labels
from pose2id.metrics import evaluate
from pose2id.steps.fuse import fuse

ETAS: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def load_side(root: Path) -> Side:
    """All pictures of `root/train/<person>/<camera>_<orientation>.png`.

    Raises:
        DataError: There are none.
    """
    paths = tuple(sorted((root / "train").glob("*/*_*.png")))
    if not paths:
        raise DataError(f"there are no train/<person>/<camera>_<orientation>.png in {root}.")
    people = [int(path.parent.name) for path in paths]
    cameras = [int(path.stem.partition("_")[0]) for path in paths]
    return Side("all", paths, np.array(people, np.int64), np.array(cameras, np.int64))


def other_orientations(side: Side, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features of each picture's person by the same camera from all other sides, `(N, M, D)`."""
    found = []
    for row in range(len(features)):
        same = (side.pids == side.pids[row]) & (side.camids == side.camids[row])
        same[row] = False
        found.append(features[same])
    if len({len(rows) for rows in found}) != 1:
        raise DataError("every person must be shown from as many sides by every camera.")
    return np.stack(found)


def average_precisions(
    side: Side, own: NDArray[np.float32], fused: NDArray[np.float32] | None = None
) -> NDArray[np.float64]:
    """AP of every picture as the query, `(N,)`; the other cameras' pictures are the gallery."""
    plain = l2_normalize(own)
    asking = plain if fused is None else fused
    found = np.empty(len(plain))
    for camera in np.unique(side.camids):
        query, gallery = side.camids == camera, side.camids != camera
        found[query] = evaluate(
            asking[query],
            plain[gallery],
            query_labels=Labels(pids=side.pids[query], camids=side.camids[query]),
            gallery_labels=Labels(pids=side.pids[gallery], camids=side.camids[gallery]),
        ).ap
    return found


def best(
    side: Side, own: NDArray[np.float32], others: NDArray[np.float32]
) -> tuple[float, NDArray[np.float64]]:
    """The eta with the highest mAP, and what it gives."""
    tried = [(eta, average_precisions(side, own, fuse(own, others, eta=eta))) for eta in ETAS]
    return max(tried, key=lambda found: float(found[1].mean()))


def rows_of(
    name: str, side: Side, store: Store, models: list[Path], networks: Path
) -> Iterator[str]:
    """The table's rows of one network."""
    for number, folder in enumerate(models):
        generator = load_generator(folder)
        features = store.features(load_extractor(name, networks, folder), generator, side.name)
        assert features.drawings is not None
        own = features.features
        base = average_precisions(side, own)
        bound_eta, bound = best(side, own, other_orientations(side, own))
        room = float(bound.mean() - base.mean())
        if number == 0 or name == "identity":
            yield f"| {name} | - | nothing | | {100 * base.mean():.1f} | | |"
            yield f"| {name} | - | seven real sides {_row(bound_eta, base, bound, room)}"
        eta, drawn = best(side, own, np.asarray(features.drawings, np.float32))
        yield f"| {name} | {folder.name} | eight drawings {_row(eta, base, drawn, room)}"


def _row(eta: float, base: NDArray[np.float64], found: NDArray[np.float64], room: float) -> str:
    delta, low, high = (100 * value for value in paired_bootstrap(base, found))
    share = f"{delta / room:.0f} %" if room > 0 else "-"
    return (
        f"| {eta:g} | {100 * found.mean():.1f} | {delta:+.1f} [{low:+.1f}, {high:+.1f}] | {share} |"
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/col780"))
    parser.add_argument("--networks", type=Path, default=Path("../shared/models/reid"))
    parser.add_argument("--models", type=Path, nargs="+", default=[Path("models/ipg-small")])
    parser.add_argument(
        "--extractors", nargs="+", choices=NAMES, default=["0288", "osnet-x0.25", "0277"]
    )
    parser.add_argument("--work", type=Path, required=True, help="keeps drawings and features")
    arguments = parser.parse_args()
    side = load_side(arguments.data)
    store = Store(arguments.work, {side.name: side})
    etas = ", ".join(f"{eta:g}" for eta in ETAS)
    print(f"{len(side.paths)} pictures of {len(np.unique(side.pids))} people; eta: {etas}\n")
    print("| features | generator | fused | eta | mAP | gain | share of the bound's gain |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in arguments.extractors:
        for line in rows_of(name, side, store, arguments.models, arguments.networks):
            print(line, flush=True)


if __name__ == "__main__":
    main()
