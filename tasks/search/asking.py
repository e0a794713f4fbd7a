"""The feature of a picture that no table has: drawn, described, and taken through a chain."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pose2id.errors import DataError
from pose2id.features import l2_normalize
from pose2id.steps.base import FeatureSet, Surroundings
from pose2id.steps.chain import ChainRunner
from pose2id.steps.registry import STEPS
from tasks.tables.choice import applied
from tasks.tables.feature_sets import load_feature_set
from tasks.tables.params import Params
from tasks.tables.schema import Layout
from tasks.tables.seal import table_schema

if TYPE_CHECKING:
    from pose2id.extractors.base import Extractor
    from pose2id.generation.base import Generator


@dataclass(frozen=True, slots=True)
class Networks:
    """What describes and draws pictures; loaded only where a picture needs them."""

    extractor: Callable[[], Extractor]
    generator: Callable[[], Generator]
    second: Callable[[], Extractor | None] = lambda: None


def networks_of(params: Params, root: Path) -> Networks:
    """The networks that the parameters name, each loaded once, when it is first needed."""
    from tasks.stages import features, generate

    device, second = params.runtime.device, params.features.of_second
    return Networks(
        second=cache(
            lambda: None if second is None else features.load_extractor(second, str(root), device)
        ),
        extractor=cache(lambda: features.load_extractor(params.features, str(root), device)),
        generator=cache(lambda: generate.load_generator(params.generate, str(root), device)),
    )


def fresh_feature(
    layout: Layout, params: Params, variant: str, data: bytes, networks: Networks
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Takes one picture through a variant's chain, without a camera.

    Steps that refer to the gallery or the train split use it as it is. Steps among the pictures of
    the own set have nothing to work on and are left out.

    Args:
        layout: Where the tables are.
        params: All parameters.
        variant: Name of the variant.
        data: The image file.
        networks: What describes and draws it.

    Returns:
        The feature `(D,)` of norm 1, and notes on how it came about.

    Raises:
        DataError: The picture is not usable, or the gallery comes from other networks.
    """
    what = applied(params, layout, variant)
    chain = what.chain
    picture = _described(layout, params, data, networks, drawn="fuse" in chain)
    if "second_opinion" in chain:
        picture = replace(picture, second=_second(layout, params, data, networks))
    gallery = ChainRunner(
        lambda split: load_feature_set(layout, split)[1],
        what.params,
        params.references,
    )
    notes = [*what.notes, *picture.notes]
    for place, name in enumerate(chain):
        step, settings = STEPS[name], what.params[name]
        role = getattr(settings, "reference", "own")
        if step.transductive and role == "own":
            notes.append(
                f"{name}: left out, as a single picture has no others of its kind beside it; the "
                "gallery's features are as they are"
            )
            continue
        reference = picture
        if step.transductive:
            reference = gallery.before(params.references[role], chain, place)
        picture = step.apply(replace(picture, notes=()), settings, Surroundings(reference))
        notes += picture.notes or (f"{name}: done" + (f", against {role}" * step.transductive),)
    feature: NDArray[np.float32] = l2_normalize(picture.features)[0]
    return feature, tuple(notes)


def _described(
    layout: Layout, params: Params, data: bytes, networks: Networks, *, drawn: bool
) -> FeatureSet:
    """The raw feature of a picture and, if wanted, of its drawings."""
    from pose2id.datasets.images import decode_rgb
    from pose2id.extractors.batching import extract

    decode_rgb(data)  # says what is wrong with it, before any network is loaded
    extractor, gallery = networks.extractor(), params.score.gallery
    _check_producer(layout.features(gallery), extractor.fingerprint, "features")
    pictures = _draw(layout, params, data, networks.generator()) if drawn else []
    sources = [partial(bytes, picture) for picture in (data, *pictures)]
    features, failures = extract(extractor, sources, params.features.batch_size)
    if 0 in failures:
        raise DataError(failures[0])
    kept = np.array([row not in failures for row in range(1, len(features))], np.float32)
    drawings = features[None, 1:] if drawn else None
    notes = [f"described by {extractor.name}, camera unknown"]
    if drawn:
        drawer = params.generate.generator
        notes.append(f"drawn in {int(kept.sum())} poses by {drawer}, not checked by the gates")
    weights = kept[None] if drawn else None
    return FeatureSet(features[:1], None, drawings, weights, tuple(notes))


def _second(
    layout: Layout, params: Params, data: bytes, networks: Networks
) -> NDArray[np.float32] | None:
    """The feature `(1, E)` of a picture by the second network."""
    from pose2id.extractors.batching import extract

    extractor = networks.second()
    if extractor is None:
        return None
    folder = layout.second_features(params.score.gallery)
    _check_producer(folder, extractor.fingerprint, "second features")
    features, failures = extract(extractor, [partial(bytes, data)], params.features.batch_size)
    if failures:
        raise DataError(failures[0])
    return features


def _draw(layout: Layout, params: Params, data: bytes, generator: Generator) -> list[bytes]:
    """A picture in every pose of the project, encoded as the pipeline's are."""
    from pose2id.datasets.images import decode_rgb
    from tasks.stages.generate import encode, noise_seed
    from tasks.stages.poses import read_poses

    folder = layout.generated(params.score.gallery)
    _check_producer(folder, generator.fingerprint, "drawings")
    pose_ids, keypoints = read_poses(layout)
    name = hashlib.sha256(data).hexdigest()
    seeds = [[noise_seed(params.generate, name, pose_id) for pose_id in pose_ids]]
    drawn = generator([decode_rgb(data)], keypoints, np.array(seeds, np.uint64))[0]
    return [encode(picture, params.generate.format) for picture in drawn]


def _check_producer(folder: Path, fingerprint: str, what: str) -> None:
    for part in sorted(folder.glob("[!.]*.parquet")):
        producer = table_schema(part).metadata[b"pose2id.producer"].decode()
        if producer != fingerprint:
            raise DataError(
                f"the gallery's {what} were made by another network ({producer[:12]}) than "
                f"params.yaml names now ({fingerprint[:12]}); run: dvc repro"
            )
