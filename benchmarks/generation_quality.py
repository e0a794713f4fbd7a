"""What generated pictures are worth: `python -m benchmarks.generation_quality [--quick] [--sweep]`.

People and cameras come from renderer seed 9000, which no training touches. Protocol: each picture
is a query once, all others are the gallery, pictures of the query's person by the query's camera
are dropped. Fusion: l2(f + eta * mean(g)).
"""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image

from benchmarks.generation_measures import (
    SEED,
    Features,
    Pictures,
    World,
    kernel_distance,
    mask_iou,
    pixels,
    render_world,
    retrieval,
)
from pose2id.choices import Solver
from pose2id.extractors.base import Extractor, InputSpec
from pose2id.extractors.preprocess import normalize, resize
from pose2id.extractors.registry import load_extractor
from pose2id.features import l2_normalize
from pose2id.generation.checkpoints import load_model, load_part
from pose2id.generation.identity_net import IdentityNet
from pose2id.generation.ipg import IpgGenerator
from pose2id.generation.sampler import Sampling
from pose2id.metrics import Labels, evaluate
from pose2id.poses.standard import STANDARD_POSES
from pose2id.steps.fuse import fuse
from pose2id.steps.nfc import nfc
from pose2id.training.card import EVALUATION_MARK

ETAS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
SETTINGS: tuple[tuple[Solver, int], ...] = (
    *(("ddim", steps) for steps in (1, 2, 4, 8, 20)),
    *(("dpmpp", steps) for steps in (2, 4, 8, 20)),
    *(("unipc", steps) for steps in (2, 4, 8, 20)),
)


def extract(extractor: Extractor, pictures: Pictures) -> Features:
    """Features `(..., D)` of pictures `(..., H, W, 3)`."""
    flat = pictures.reshape(-1, *pictures.shape[-3:])
    found = []
    for start in range(0, len(flat), 32):
        batch = flat[start : start + 32]
        resized = [resize(Image.fromarray(picture), extractor.input_spec) for picture in batch]
        found.append(extractor(np.stack(resized)))
    return np.concatenate(found).reshape(*pictures.shape[:-3], -1)


def generate(generator: IpgGenerator, world: World, noise: str = "per_pose") -> Pictures:
    """Draws every shot's person in the eight standard poses, `(N * C, 8, H, W, 3)`."""

    def seed(*parts: int) -> int:
        return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "little")

    drawn = []
    for start in range(0, len(world.shots), generator.batch_size):
        images = [Image.fromarray(s) for s in world.shots[start : start + generator.batch_size]]
        seeds = [
            [seed(pose) if noise == "per_pose" else seed(pose, start + i) for pose in range(8)]
            for i in range(len(images))
        ]
        drawn.append(generator(images, STANDARD_POSES, np.array(seeds, dtype=np.uint64)))
    return np.concatenate(drawn)


def score(features: Features, world: World) -> tuple[float, float]:
    """MAP and Rank-1 in percent of L2-normalised features `(N * C, D)`."""
    labels = Labels(world.person + 1, world.camera, image_ids=np.arange(len(features)))
    found = evaluate(features, features, query_labels=labels, gallery_labels=labels, top_k=0)
    return 100 * found.mAP, 100 * float(found.cmc[0])


def best_eta(shots: Features, drawn: Features, world: World) -> tuple[float, float, float]:
    """The eta with the highest mAP, and that mAP and Rank-1."""
    scores = [(eta, *score(fuse(shots, drawn, eta=eta), world)) for eta in ETAS]
    return max(scores, key=lambda found: found[1])


def save_grid(world: World, drawn: Pictures, path: Path, people: int = 10) -> None:
    """Per person a row: the reference and the eight pictures drawn from it."""
    cameras = int(world.camera.max()) + 1
    rows = np.arange(min(people, len(world.studio))) * cameras + np.arange(people) % cameras
    cells = np.concatenate([world.shots[rows][:, None], drawn[rows]], axis=1)
    n, m, height, width, _ = cells.shape
    grid = cells.transpose(0, 2, 1, 3, 4).reshape(n * height, m * width, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grid).save(path)


def main_table(world: World, drawn: Pictures, extractor: Extractor, eta: float) -> list[str]:
    """Retrieval with and without the pictures, and the quality of the pictures themselves."""
    shots, pictures = extract(extractor, world.shots), extract(extractor, drawn)
    studio = extract(extractor, world.studio)
    base = score(l2_normalize(shots), world)
    fused = fuse(shots, pictures, eta=eta)
    best, best_map, best_rank_1 = best_eta(shots, pictures, world)
    oracle = score(fuse(shots, studio[world.person], eta=eta), world)
    rows: list[tuple[str, float, float]] = [
        ("base", *base),
        (f"+ IPG, eta {eta:g}", *score(fused, world)),
        (
            f"+ IPG, eta {best:g} (best of {', '.join(f'{e:g}' for e in ETAS)})",
            best_map,
            best_rank_1,
        ),
        (f"+ IPG, eta {eta:g}, + NFC (k 2)", *score(nfc(fused, k1=2, k2=2), world)),
        (f"+ true studio pictures, eta {eta:g}", *oracle),
    ]
    lines = [f"| {extractor.name} | mAP | Rank-1 | gain |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {m_ap:.1f} | {r1:.1f} | {m_ap - base[0]:+.1f} / {r1 - base[1]:+.1f} |"
        for name, m_ap, r1 in rows
    ]
    unit = [x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (pictures, studio)]
    flat = (pictures.reshape(-1, pictures.shape[-1]), studio.reshape(-1, studio.shape[-1]))
    lines += [
        "",
        f"With {extractor.name}'s features: nearest studio picture is the right person's "
        f"{retrieval(*unit, world):.1f} % (cosine), KID x 1000 {kernel_distance(*flat):.2f}.",
        "",
    ]
    return lines


def settings(default: Sampling) -> dict[str, tuple[Sampling, str]]:
    """What the sweep compares: noise, guidance, solver and steps around the default."""
    solver, steps = default.solver, default.steps
    found = {
        "default": (default, "per_pose"),
        "noise per image": (default, "per_image"),
        "guidance 1.5": (Sampling(solver, steps, 1.5), "per_pose"),
        "guidance 3.5": (Sampling(solver, steps, 3.5), "per_pose"),
    }
    for name, count in SETTINGS:
        found[f"{name}, {count} steps"] = (Sampling(name, count, 1.0), "per_pose")
    return found


def sweep_table(world: World, extractor: Extractor, default: Sampling, folder: Path) -> list[str]:
    """Retrieval for settings of generation, with the CPU time that drawing took."""
    shots = extract(extractor, world.shots)
    model, fingerprint = load_model(folder)
    lines = ["| setting | mAP | Rank-1 | best eta | ms per picture |", "|---|---|---|---|---|"]
    for name, (sampling, noise) in settings(default).items():
        generator = IpgGenerator(model, fingerprint, sampling, batch_size=4, device="cpu")
        started = time.process_time()
        drawn = generate(generator, world, noise)
        per_picture = 1000 * (time.process_time() - started) / (drawn.shape[0] * drawn.shape[1])
        features = extract(extractor, drawn)
        eta, m_ap, r1 = best_eta(shots, features, world)
        lines.append(f"| {name} | {m_ap:.1f} | {r1:.1f} | {eta:g} | {per_picture:.1f} |")
        print(lines[-1], flush=True)
        if name.startswith("default"):
            for count in (1, 2, 4):
                chosen = features[:, :: 8 // count]
                eta, m_ap, r1 = best_eta(shots, chosen, world)
                lines.append(f"| {count} of 8 poses | {m_ap:.1f} | {r1:.1f} | {eta:g} | |")
    return [*lines, ""]


class IdentityExtractor:
    """The model's own identity network as an extractor, see `pose2id.extractors.base.Extractor`."""

    name = "identity network"

    def __init__(self, folder: Path) -> None:
        network, self.fingerprint = load_part(folder, "identity")
        self._network = cast(IdentityNet, network)
        config = self._network.config
        self.dim = config.feature_dim
        self.input_spec = InputSpec(
            config.height_px, config.width_px, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
        )

    def __call__(self, images: Pictures) -> Features:
        """Features `(B, D)` of `(B, H, W, 3)` pictures."""
        with torch.inference_mode():
            found: Features = self._network(
                torch.from_numpy(normalize(images, self.input_spec))
            ).numpy()
        return found


def report(arguments: argparse.Namespace) -> str:
    """Runs the evaluation and returns its tables in Markdown."""
    people, cameras = (30, 4) if arguments.quick else (100, 6)
    world = render_world(people, cameras)
    default = Sampling(arguments.solver, arguments.steps, arguments.guidance)
    folder: Path = arguments.model
    model, fingerprint = load_model(folder)
    drawn = generate(IpgGenerator(model, fingerprint, default, device="cpu"), world)
    save_grid(world, drawn, arguments.picture)
    extractor = load_extractor("efficientnet_lite0", device="cpu")
    studio = world.studio[world.person]
    lines = [
        f"{people} people and {cameras} cameras of renderer seed {SEED}; {default.solver}, "
        f"{default.steps} steps, guidance {default.guidance_scale:g}; {len(drawn)} pictures, each "
        "drawn in the eight standard poses.",
        "",
        *main_table(world, drawn, extractor, arguments.eta),
        *main_table(world, drawn, IdentityExtractor(folder), arguments.eta),
        f"Pixels: nearest studio picture is the right person's "
        f"{retrieval(pixels(drawn), pixels(world.studio), world):.1f} %; mask IoU with the studio "
        f"{mask_iou(drawn, world):.3f} (studio pictures themselves {mask_iou(studio, world):.3f}).",
        "",
    ]
    if arguments.sweep:
        small = world if arguments.quick else render_world(40, 4)
        lines += [
            f"Settings on {len(small.studio)} people and 4 cameras, {extractor.name}, best eta:",
            "",
            *sweep_table(small, extractor, default, folder),
        ]
    return "\n".join(lines)


def main() -> None:
    """Prints the tables, saves the picture, and puts the tables into the model card if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/ipg-small"))
    parser.add_argument("--solver", default="ddim")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--eta", type=float, default=8.0)
    parser.add_argument("--quick", action="store_true", help="30 people, 4 cameras")
    parser.add_argument("--sweep", action="store_true", help="compare settings too")
    parser.add_argument("--picture", type=Path, default=Path("reports/generation_quality.png"))
    parser.add_argument("--card", action="store_true", help="write the tables into the card")
    arguments = parser.parse_args()
    text = report(arguments)
    print(text)
    if arguments.card:
        card = arguments.model / "README.md"
        head = card.read_text(encoding="utf-8").partition(EVALUATION_MARK)[0]
        card.write_text(f"{head}{EVALUATION_MARK}\n{text}", encoding="utf-8")


if __name__ == "__main__":
    main()
