"""What adapting was worth, on people of the split whom the training never saw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pose2id.errors import DataError
from pose2id.extractors.base import Extractor
from pose2id.extractors.preprocess import resize
from pose2id.generation.checkpoints import load_model
from pose2id.generation.ipg import IpgGenerator
from pose2id.generation.sampler import Sampling
from pose2id.poses.standard import STANDARD_POSES
from pose2id.steps.fuse import fuse
from pose2id.training.identity import IdentityHead, IdentityJob, IdentityLoss, camera_map
from pose2id.training.pool import Pool
from pose2id.training.recipe import Recipe
from tasks.studies.training_data import held_out_pool

ETAS = (0.25, 1.0, 4.0, 8.0)
BATCH = 32


@dataclass(frozen=True, slots=True)
class HeldOutReport:
    """Scores and their table.

    Attributes:
        scores: mAP and Rank-1 in percent by model, network and row.
        text: The table in Markdown.
    """

    scores: dict[str, dict[str, dict[str, tuple[float, float]]]]
    text: str


def held_out_report(recipe: Recipe, start: Path, extractor: Extractor) -> HeldOutReport:
    """Scores the people held out, with the model that training started from and with its result.

    Every photograph is a query once, the others are its gallery, those of the person by the same
    camera left out. Drawings are made in one step in the standard poses.

    Args:
        recipe: What was trained.
        start: Folder of the model before.
        extractor: A network that took no part in the training, if it is not the guide.

    Raises:
        DataError: Nobody was held out.
    """
    pool = held_out_pool(recipe)
    if pool is None:
        raise DataError("nobody was held out; set holdout above 0 to have a report.")
    rows = np.flatnonzero(pool.table.is_reference)
    pictures = pool.pictures(rows)  # (N, H, W, 3)
    scores: dict[str, dict[str, dict[str, tuple[float, float]]]] = {}
    for name, folder in (("before", start), ("adapted", recipe.out)):
        drawn = draw(folder, pictures)
        flat = drawn.reshape(-1, *drawn.shape[2:])
        network = load_model(folder).model.identity
        job = IdentityJob(network.config, IdentityLoss(), pool, IdentityHead(network, len(pool)))
        features = {
            "identity network": (job.features_of(pictures), job.features_of(flat)),
            extractor.name: (extract_all(extractor, pictures), extract_all(extractor, flat)),
        }
        scores[name] = {
            judge: score_rows(own, of_drawn.reshape(len(rows), -1, own.shape[1]), pool, rows)
            for judge, (own, of_drawn) in features.items()
        }
    people = len(np.unique(pool.table.identity[rows]))
    return HeldOutReport(scores, _table(scores, people, len(rows), int(drawn.shape[1])))


def draw(folder: Path, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draws every person in the standard poses, `(N, P, H, W, 3) uint8`."""
    model, fingerprint = load_model(folder)
    generator = IpgGenerator(model, fingerprint, Sampling("ddim", 1, 1.0), device="cpu")
    seeds = np.arange(1, len(STANDARD_POSES) + 1, dtype=np.uint64)  # the same for every image
    parts = []
    for begin in range(0, len(pictures), generator.batch_size):
        images = [Image.fromarray(p) for p in pictures[begin : begin + generator.batch_size]]
        parts.append(generator(images, STANDARD_POSES, np.tile(seeds, (len(images), 1))))
    return np.concatenate(parts)


def extract_all(extractor: Extractor, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Features `(N, D)` of pictures `(N, H, W, 3)`."""
    sized = [resize(Image.fromarray(p), extractor.input_spec) for p in pictures]
    return np.concatenate(
        [extractor(np.stack(sized[s : s + BATCH])) for s in range(0, len(sized), BATCH)]
    )


def score_rows(
    own: NDArray[np.float32], drawn: NDArray[np.float32], pool: Pool, rows: NDArray[np.int64]
) -> dict[str, tuple[float, float]]:
    """The features alone `(N, D)`, the drawings' `(N, P, D)` alone, and both fused."""
    table = pool.table
    found = {"base": own, "drawings alone": drawn.mean(axis=1)}
    found |= {f"+ IPG, eta {eta:g}": fuse(own, drawn, eta=eta) for eta in ETAS}
    return {
        name: _percent(camera_map(features, table.identity[rows], table.camera[rows]))
        for name, features in found.items()
    }


def _percent(score: tuple[float, float]) -> tuple[float, float]:
    return 100 * score[0], 100 * score[1]


def _table(
    scores: dict[str, dict[str, dict[str, tuple[float, float]]]],
    people: int,
    photographs: int,
    poses: int,
) -> str:
    lines = [
        f"{people} people whom the training never saw, {photographs} photographs, each drawn in "
        f"{poses} poses in one step; mAP / Rank-1, each photograph as the query once.",
        "",
        "| network | features | before | adapted |",
        "|---|---|---|---|",
    ]
    for judge, before in scores["before"].items():
        for row, (m_ap, rank_1) in before.items():
            after = scores["adapted"][judge][row]
            lines.append(
                f"| {judge} | {row} | {m_ap:.1f} / {rank_1:.1f} | {after[0]:.1f} / {after[1]:.1f} |"
            )
    return "\n".join([*lines, ""])
