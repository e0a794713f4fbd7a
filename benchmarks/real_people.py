"""What each step is worth on real people: `python -m benchmarks.real_people --work FOLDER`.

Feature networks x chains x generators on a dataset in the layout of Market-1501; the second network
of "all four" is the generator's own identity network. Which steps a
chain keeps, eta and k are what `auto` chooses, by the stage's own code, on the people of
`bounding_box_train`, whom nothing else of the table looks at. Intervals are paired bootstraps of
the queries against the base of the same network. Drawings and features are kept in the work folder,
so that a second run takes minutes. Drawn pictures of real people stay there: never publish them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.generation_quality import IdentityExtractor
from pose2id.bootstrap import paired_bootstrap
from pose2id.datasets.base import ImageRecord
from pose2id.datasets.market1501 import MarketReader
from pose2id.errors import DataError
from pose2id.extractors import registry
from pose2id.extractors.base import Extractor, InputSpec
from pose2id.extractors.preprocess import resize
from pose2id.generation.ipg import IpgGenerator
from pose2id.labels import Labels
from pose2id.metrics import Evaluation
from pose2id.poses.standard import STANDARD_POSES
from pose2id.steps.base import FeatureSet
from pose2id.steps.chain import Chain, feature_chain
from tasks.choosing.evaluation import Images, Setting, evaluate_setting
from tasks.choosing.judging import candidates, judge
from tasks.choosing.rules import Candidate
from tasks.stages.choose import SAFE_K
from tasks.tables.choice import with_values
from tasks.tables.params import parse_params

BATCH: Final = 32
TEST: Final = ("query", "gallery")
ALL: Final = ("fuse", "camera_normalize", "nfc")
FOUR: Final = ("fuse", "camera_normalize", "second_opinion", "nfc")
CHAINS: Final = MappingProxyType(
    {
        "base": (),
        "+ IPG": ("fuse",),
        "+ camera normalization": ("camera_normalize",),
        "+ NFC": ("nfc",),
        "both without drawings": ("camera_normalize", "nfc"),
        "all three": ALL,
        "all three, cameras before drawings": ("camera_normalize", "fuse", "nfc"),
        "all three + re-ranking": (*ALL, "rerank"),
        "all four": FOUR,
        "all four + re-ranking": (*FOUR, "rerank"),
        "all four, without drawings": FOUR[1:],
        "base + re-ranking": ("rerank",),
    }
)
SAFE: Final = "safe chain, without labels"
DATASET: Final = MappingProxyType(
    {
        "name": "people",
        "reader": "market1501",
        "root": "people",
        "licence": "see the dataset's authors",
        "status": "academic",
    }
)
INTEL: Final = InputSpec(256, 128, channel_order="bgr", max_value=255.0)
IMAGENET: Final = InputSpec(256, 128, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
EXPORTED: Final = MappingProxyType(
    {
        "0277": "0277/FP16/person-reidentification-retail-0277.xml",
        "0286": "0286/FP16/person-reidentification-retail-0286.xml",
        "0287-int8": "0287-int8/person-reidentification-retail-0287.xml",
        "0288": "0288/FP16/person-reidentification-retail-0288.xml",
        "osnet-x0.25": "osnet-x0.25/osnet_x0_25.onnx",
    }
)
NAMES: Final = ("efficientnet_lite0", *EXPORTED, "identity")


@dataclass(frozen=True)
class Side:
    """The images of one side of a search, in name order."""

    name: str
    paths: tuple[Path, ...]
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]

    def images(self, features: FeatureSet) -> Images:
        """The images with their features and labels."""
        ids = [path.stem for path in self.paths]
        return Images(ids, features, Labels(pids=self.pids, camids=self.camids, image_ids=ids))

    @cached_property
    def pictures(self) -> list[NDArray[np.uint8]]:
        """The decoded images, `(H, W, 3) uint8` each."""
        return [np.asarray(Image.open(path).convert("RGB")) for path in self.paths]


def side_of(name: str, root: Path, records: Sequence[ImageRecord]) -> Side:
    """A side from the records of a split."""
    if not records:
        raise DataError(f"there are no usable images for {name} in {root}; links are not followed.")
    pids, camids = ([getattr(r, key) for r in records] for key in ("pid", "camid"))
    paths = tuple(root / record.path for record in records)
    return Side(name, paths, np.array(pids, np.int64), np.array(camids, np.int64))


def load_sides(root: Path, train_people: int) -> dict[str, Side]:
    """Query and gallery of the test, and the train split's first people."""
    reader = MarketReader(distractor_pids=())
    sides = {name: side_of(name, root, reader.read_split(root, name).records) for name in TEST}
    records = reader.read_split(root, "train").records
    people = sorted({record.pid for record in records})[:train_people]
    train = [record for record in records if record.pid in people]
    return sides | {"train": side_of("train", root, train)}


class Store:
    """Drawings and features of a dataset's sides, made once."""

    def __init__(self, work: Path, sides: dict[str, Side]) -> None:
        self._work, self._sides = work, sides

    def drawings(self, generator: IpgGenerator, side: Side) -> NDArray[np.uint8]:
        """Each image drawn in the standard poses, `(N, P, H, W, 3)`."""
        path = self._path(f"drawn-{generator.fingerprint[:16]}", side)
        if not path.is_file():
            # The noise of a pose is the same for every image.
            seeds = np.arange(1, len(STANDARD_POSES) + 1, dtype=np.uint64)
            size = generator.batch_size
            drawn = [
                generator(
                    [Image.fromarray(picture) for picture in side.pictures[start : start + size]],
                    STANDARD_POSES,
                    np.tile(seeds, (len(side.pictures[start : start + size]), 1)),
                )
                for start in range(0, len(side.pictures), size)
            ]
            _save(path, np.concatenate(drawn))
        found: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
        return found

    def features(
        self,
        extractor: Extractor,
        generator: IpgGenerator | None,
        name: str,
        second: Extractor | None = None,
    ) -> FeatureSet:
        """Features of a side, with those of its drawings where there is a generator."""
        side = self._sides[name]
        own = self._extracted(extractor, "own", side, side.pictures)
        other = None if second is None else self._extracted(second, "own", side, side.pictures)
        if generator is None:
            return FeatureSet(own, side.camids, second=other)
        drawn = self.drawings(generator, side)
        flat = drawn.reshape(-1, *drawn.shape[2:])
        rows = self._extracted(extractor, generator.fingerprint[:16], side, flat)
        drawings = rows.reshape(len(own), -1, own.shape[1])
        return FeatureSet(own, side.camids, drawings, second=other)

    def _extracted(
        self,
        extractor: Extractor,
        what: str,
        side: Side,
        pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    ) -> NDArray[np.float32]:
        path = self._path(f"features-{extractor.fingerprint[:16]}-{what}", side)
        if not path.is_file():
            _save(path, np.concatenate(list(_in_batches(extractor, pictures))))
        found: NDArray[np.float32] = np.load(path, allow_pickle=False)
        return found

    def _path(self, what: str, side: Side) -> Path:
        self._work.mkdir(parents=True, exist_ok=True)
        return self._work / f"{what}-{side.name.replace(' ', '-')}-{len(side.paths)}.npy"


def _save(path: Path, array: NDArray[np.generic]) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)
    temporary.replace(path)


def _in_batches(
    extractor: Extractor, pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(pictures), BATCH):
        sized = [
            resize(Image.fromarray(picture), extractor.input_spec)
            for picture in pictures[start : start + BATCH]
        ]
        filled = sized + sized[:1] * (BATCH - len(sized))
        yield extractor(np.stack(filled))[: len(sized)]


def load_generator(folder: Path) -> IpgGenerator:
    """A generator as the pipeline runs it by default: one step, no guidance."""
    return IpgGenerator.load(folder, steps=1, guidance_scale=1.0, batch_size=4, device="cpu")


def load_extractor(name: str, networks: Path, generator: Path) -> Extractor:
    """A feature network by the name that the table shows."""
    if name == "efficientnet_lite0":
        return registry.load_extractor(name, device="cpu")
    if name == "identity":
        return IdentityExtractor(generator)
    kind, spec = ("onnx", IMAGENET) if name.startswith("osnet") else ("openvino", INTEL)
    return registry.load_extractor(kind, networks / EXPORTED[name], input=spec, device="cpu")


class Scores:
    """Scores of chains on one network's features, with or without drawings."""

    def __init__(
        self,
        store: Store,
        sides: dict[str, Side],
        extractor: Extractor,
        generator: IpgGenerator,
        second: Extractor,
    ) -> None:
        self._params = parse_params({"splits": list(sides), "dataset": dict(DATASET)})
        self._images = {
            name: side.images(store.features(extractor, generator, name, second))
            for name, side in sides.items()
        }

    def judge(self, chains: Sequence[Chain]) -> None:
        """Judges every setting of some chains on the train people."""
        train = self._images["train"]
        self._settings = {chain: candidates(self._params, train, chain) for chain in chains}
        everything = dict.fromkeys(item for found in self._settings.values() for item in found)
        self._judged = judge(list(everything), train, self._params)

    def choose(self, chain: Chain) -> Candidate:
        """What `auto` stands for in a chain that was judged."""
        return self._judged.evidence.choose(self._settings[chain]).chosen

    def score(self, setting: Candidate, last: Chain = ()) -> Evaluation:
        """Scores the test people."""
        values = with_values(
            self._params.centralize.by_step(), setting.eta, setting.k, setting.weight
        )
        both = Setting.both(setting.chain + last, **values)
        query, gallery = (self._images[name] for name in TEST)
        return evaluate_setting(query, gallery, both, self._params)[0]


def rows_of(name: str, model: str, scores: Scores, chains: Sequence[str]) -> Iterator[str]:
    """The table's rows of one network with one generator."""
    base = scores.score(Candidate())
    scores.judge([feature_chain(CHAINS[label]) for label in chains])
    settings = {label: scores.choose(feature_chain(CHAINS[label])) for label in chains}
    if "+ NFC" in chains:
        settings[SAFE] = Candidate(("camera_normalize", "nfc"), k=SAFE_K)
    for label, chosen in settings.items():
        chain = CHAINS.get(label, ())
        found = scores.score(chosen, chain[len(feature_chain(chain)) :])
        delta, low, high = paired_bootstrap(base.ap, found.ap)
        values = {
            "fuse": f" eta {chosen.eta:g}",
            "nfc": f" k {chosen.k}",
            "second_opinion": f" weight {chosen.weight:g}",
        }
        kept = ", ".join(step + values.get(step, "") for step in chosen.chain)
        yield (
            f"| {name} | {model if 'fuse' in chain else '-'} | {label} | {kept or 'none'} "
            f"| {100 * found.mAP:.1f} | {100 * found.rank(1):.1f} "
            f"| {100 * delta:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}] |"
        )


def main() -> None:
    """Prints the table, and writes it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data/cuhk03-100"))
    parser.add_argument("--networks", type=Path, default=Path("../shared/models/reid"))
    parser.add_argument(
        "--models", type=Path, nargs="+", default=[Path("models/ipg-small"), Path("models/adapted")]
    )
    parser.add_argument("--extractors", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--train-people", type=int, default=100)
    parser.add_argument("--work", type=Path, required=True, help="keeps drawings and features")
    parser.add_argument("--out", type=Path, help="Markdown file")
    arguments = parser.parse_args()
    sides = load_sides(arguments.data, arguments.train_people)
    store = Store(arguments.work, sides)
    lines = [
        f"{len(sides['query'].paths)} queries, {len(sides['gallery'].paths)} gallery images, "
        f"protocol market; `auto` chosen on {len(np.unique(sides['train'].pids))} other people, "
        f"{len(sides['train'].paths)} images; in brackets the 95 % interval of the gain over base.",
        "",
        "| features | generator | chain | kept | mAP | Rank-1 | gain in mAP |",
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for name in arguments.extractors:
        for number, folder in enumerate(arguments.models):
            generator = load_generator(folder)
            extractor = load_extractor(name, arguments.networks, folder)
            scores = Scores(store, sides, extractor, generator, IdentityExtractor(folder))
            again = number == 0 or name == "identity"  # chains without generator: once a network
            of_generator = {"fuse"} if name == "identity" else {"fuse", "second_opinion"}
            chains = [
                label
                for label, chain in CHAINS.items()
                if (again or of_generator & set(chain))
                and (name != "identity" or "second_opinion" not in chain)
            ]
            for line in rows_of(name, folder.name, scores, chains):
                lines.append(line)
                print(line, flush=True)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
