"""The people of the generation benchmark, and how near drawn pictures come to the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose2id.renderer import (
    STANDARD_JOINTS,
    Camera,
    Identity,
    render_shot,
    render_studio,
    studio_mask,
)
from pose2id.renderer.render import STUDIO_GROUND

Pictures = NDArray[np.uint8]
Features = NDArray[np.float32]

SEED = 9000
GROUND_TOLERANCE = 24  # levels of 255 within which a pixel counts as the studio's ground


@dataclass(frozen=True)
class World:
    """Unseen people: what cameras saw, and what the studio would show.

    Attributes:
        shots: `(N * C, H, W, 3) uint8`, person by person.
        person: `(N * C,) int64`.
        camera: `(N * C,) int64`.
        studio: `(N, 8, H, W, 3) uint8` in the standard poses.
        masks: `(N, 8, H, W) bool`, where the person is.
    """

    shots: Pictures
    person: NDArray[np.int64]
    camera: NDArray[np.int64]
    studio: Pictures
    masks: NDArray[np.bool_]


def render_world(people: int, cameras: int) -> World:
    """Renders the evaluation's people."""
    identities = [Identity.sample(SEED, number) for number in range(people)]
    sites = [Camera.sample(SEED, number) for number in range(cameras)]
    person = np.repeat(np.arange(people), cameras)
    camera = np.tile(np.arange(cameras), people)
    shots = [
        render_shot(identities[p], sites[c], p * cameras + c).image
        for p, c in zip(person, camera, strict=True)
    ]
    studio = [[render_studio(who, joints) for joints in STANDARD_JOINTS] for who in identities]
    masks = [[studio_mask(who, joints) for joints in STANDARD_JOINTS] for who in identities]
    return World(np.stack(shots), person, camera, np.array(studio), np.array(masks))


def mask_iou(drawn: Pictures, world: World) -> float:
    """Mean overlap between what stands out from the ground and the person's true mask."""
    away = np.abs(drawn.astype(np.int16) - STUDIO_GROUND).max(axis=-1) > GROUND_TOLERANCE
    true = world.masks[world.person]  # (N * C, 8, H, W)
    union = (away | true).sum(axis=(2, 3))
    return float(((away & true).sum(axis=(2, 3)) / union).mean())


def retrieval(drawn: NDArray[np.float32], studio: NDArray[np.float32], world: World) -> float:
    """Share of drawn pictures whose nearest studio picture of that pose is the right person's.

    Args:
        drawn: `(N * C, 8, D)`.
        studio: `(N, 8, D)`.
        world: The labels.

    Returns:
        Percent.
    """
    right = []
    for pose in range(drawn.shape[1]):
        a, b = drawn[:, pose], studio[:, pose]
        squared = (b**2).sum(axis=1)[None] - 2 * a @ b.T
        right.append(squared.argmin(axis=1) == world.person)
    return 100 * float(np.mean(right))


def pixels(pictures: Pictures) -> NDArray[np.float32]:
    """Pictures averaged over 2x2 pixels, as vectors `(..., D)` in [0, 1]."""
    *lead, height, width, _ = pictures.shape
    blocks = pictures.reshape(*lead, height // 2, 2, width // 2, 2, 3)
    unit: Features = (blocks.mean(axis=(-4, -2)) / 255).astype(np.float32)
    return unit.reshape(*lead, -1)


def kernel_distance(a: Features, b: Features, subsets: int = 20, size: int = 500) -> float:
    """KID: unbiased squared MMD with the kernel (x.y / D + 1)^3, mean over subsets, times 1000.

    Source: Binkowski et al., Demystifying MMD GANs, ICLR 2018.
    """
    rng = np.random.default_rng(0)
    found = []
    for _ in range(subsets):
        x = a[rng.choice(len(a), min(size, len(a)), replace=False)]
        y = b[rng.choice(len(b), min(size, len(b)), replace=False)]
        m, n = len(x), len(y)
        kxx, kyy, kxy = (((p @ q.T) / x.shape[1] + 1) ** 3 for p, q in ((x, x), (y, y), (x, y)))
        within = (kxx.sum() - np.trace(kxx)) / (m * (m - 1))
        within += (kyy.sum() - np.trace(kyy)) / (n * (n - 1))
        found.append(within - 2 * kxy.mean())
    return 1000 * float(np.mean(found))
