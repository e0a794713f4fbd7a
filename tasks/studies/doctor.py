"""The pictures of a project that a feature network is tried on."""

from __future__ import annotations

import functools
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pose2id.errors import DataError
from tasks.tables.dataset import reader_of
from tasks.tables.params import Params
from tasks.tables.store import sha256_hex

if TYPE_CHECKING:
    from pose2id.datasets.base import ImageRecord
    from pose2id.extractors.base import Extractor
    from pose2id.extractors.doctor import Finding, Labelled

PREFERRED_SPLIT = "train"


def labelled_pictures(params: Params, root: Path, side: str) -> Labelled | None:
    """Up to 200 labelled pictures of the project, of the train split where it has one.

    Persons are taken in an order that depends on their ids alone, each whole, so that every
    picture has another of the same person; with cameras, one of another camera.

    Args:
        params: All parameters.
        root: The project's root folder.
        side: What the network wants to know beside the pixels.

    Returns:
        The pictures, or None where no split has persons seen twice.
    """
    from pose2id.extractors.doctor import MAX_LABELLED, Labelled

    splits = sorted(params.splits, key=lambda split: split != PREFERRED_SPLIT)
    dataset_root = root / params.dataset.root
    for split in splits:
        try:
            listing = reader_of(params.dataset).read_split(dataset_root, split)
        except DataError:
            continue
        persons: dict[int, list[ImageRecord]] = defaultdict(list)
        for record in listing.records:
            if record.pid is not None and not record.distractor:
                persons[record.pid].append(record)
        chosen: list[ImageRecord] = []
        for pid in sorted(persons, key=lambda pid: sha256_hex("doctor", pid)):
            cameras = {record.camid for record in persons[pid]}
            seen_twice = len(cameras) > 1 or (cameras == {None} and len(persons[pid]) > 1)
            if seen_twice and len(chosen) + len(persons[pid]) <= MAX_LABELLED:
                chosen += persons[pid]
        if chosen:
            return _labelled(chosen, dataset_root, side, Labelled)
    return None


def _labelled(
    records: list[ImageRecord], dataset_root: Path, side: str, make: type[Labelled]
) -> Labelled:
    from pose2id.extractors.base import NO_SIDE

    camids = [NO_SIDE if record.camid is None else record.camid for record in records]
    infrared = [int(record.modality == "infrared") for record in records]
    return make(
        sources=[functools.partial((dataset_root / r.path).read_bytes) for r in records],
        pids=np.array([record.pid for record in records], dtype=np.int64),
        camids=np.array(camids, dtype=np.int64),
        sides=np.array(infrared if side == "modality" else camids, dtype=np.int64),
    )


def examine_project(params: Params, root: Path, extractor: Extractor) -> list[Finding]:
    """Findings about a network, on the project's own pictures where it has labelled ones.

    Args:
        params: All parameters.
        root: The project's root folder.
        extractor: The network.

    Returns:
        The findings; see `pose2id.extractors.doctor.examine`.
    """
    from pose2id.extractors.doctor import examine

    labelled = labelled_pictures(params, root, extractor.side)
    return examine(extractor, params.features.batch_size, labelled)
