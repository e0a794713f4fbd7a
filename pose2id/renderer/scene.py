"""Backgrounds: streets and halls made of walls, floors, plants, doors and gradients."""

from __future__ import annotations

import colorsys
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pose2id.renderer.seeds import generator

SCENES_PER_CAMERA = 4
# A scene is larger than a picture so that shots can look at different parts of it.
SCENE_ROWS, SCENE_COLS = 176, 112

Floats = NDArray[np.float32]


@lru_cache(maxsize=256)
def scene(seed: int, camera: int, number: int, infrared: bool) -> NDArray[np.uint8]:
    """Paints one background of a camera.

    Args:
        seed: Seed of the cameras.
        camera: Number of the camera.
        number: Which of the camera's scenes, below `SCENES_PER_CAMERA`.
        infrared: Grey in place of colour, with bright plants, as near-infrared light shows them.

    Returns:
        `(SCENE_ROWS, SCENE_COLS, 3) uint8`, read-only.
    """
    site = generator("site", seed, camera)  # what all scenes of the camera share
    floor_color, wall_color = _surface_color(site), _surface_color(site)
    floor_kind, horizon = int(site.integers(3)), site.uniform(0.25, 0.6)
    rng = generator("scene", seed, camera, number)
    if number % 2:
        wall_color = _surface_color(rng)
    picture = np.empty((SCENE_ROWS, SCENE_COLS, 3), np.float32)
    edge = int(SCENE_ROWS * np.clip(horizon + rng.normal(0, 0.05), 0.15, 0.7))
    picture[:edge] = _wall(rng, edge, wall_color)
    picture[edge:] = _floor(rng, SCENE_ROWS - edge, floor_color, floor_kind)
    _furnish(rng, picture, edge)
    if rng.random() < 0.5:
        _plant(rng, picture, edge)
    picture *= 1 + 0.2 * _clouds(rng, SCENE_ROWS, SCENE_COLS, 7)[..., None]
    slope = np.linspace(-1, 1, SCENE_COLS, dtype=np.float32)[None, :, None]
    picture *= 1 + np.float32(rng.uniform(-0.2, 0.2)) * slope
    if infrared:
        weights = np.array([0.2, 0.9, -0.1], np.float32)
        picture = np.repeat((picture @ weights)[..., None], 3, axis=2)
    image = np.clip(picture, 0, 255).astype(np.uint8)
    image.setflags(write=False)
    return image


def _surface_color(rng: np.random.Generator) -> Floats:
    saturation = rng.uniform(0.0, 0.12) if rng.random() < 0.5 else rng.uniform(0.12, 0.5)
    rgb = colorsys.hsv_to_rgb(rng.random(), saturation, rng.uniform(0.3, 0.9))
    return np.array(rgb, np.float32) * 255


def _clouds(rng: np.random.Generator, rows: int, cols: int, cells: int) -> Floats:
    """Smooth noise in about [-1, 1], `(rows, cols)`, with finer noise on top."""
    total = np.zeros((rows, cols), np.float32)
    for octave, weight in ((1, 0.6), (3, 0.3), (8, 0.2)):
        shape = (max(2, cells * octave), max(2, cells * octave * cols // rows))
        grid = Image.fromarray(rng.uniform(-1, 1, shape).astype(np.float32))
        total += weight * np.asarray(grid.resize((cols, rows), Image.Resampling.BICUBIC))
    return total


def _wall(rng: np.random.Generator, rows: int, color: Floats) -> Floats:
    y = np.arange(rows)[:, None]
    x = np.arange(SCENE_COLS)[None]
    kind, size = int(rng.integers(5)), int(rng.integers(6, 20))
    joint = np.zeros((rows, SCENE_COLS), np.bool_)
    if kind == 0:  # bricks
        shift = (y // (size // 2 + 1)) % 2 * size // 2
        joint = (y % (size // 2 + 1) == 0) | ((x + shift) % size == 0)
    elif kind == 1:  # panels
        joint = (x % (size * 2) < 2) | (y % (size * 3) == 0)
    elif kind == 2:  # shutter
        joint = np.broadcast_to(y % (size // 2 + 2) < 2, joint.shape)
    elif kind == 3:  # railing
        joint = (x % (size // 2 + 3) < 2) | (y % (size * 4) < 2)
    wall = np.where(joint[..., None], color * rng.uniform(0.55, 1.25), color)
    shade: Floats = (wall * np.linspace(rng.uniform(0.75, 1.2), 1, rows)[:, None, None]).astype(
        np.float32
    )
    return shade


def _floor(rng: np.random.Generator, rows: int, color: Floats, kind: int) -> Floats:
    y = np.linspace(0.02, 1, rows)[:, None]
    x = np.linspace(-1, 1, SCENE_COLS)[None]
    depth, across = 1 / (y + 0.25), x / (y + 0.25)
    drift = rng.uniform(0, 5)
    joint = np.zeros((rows, SCENE_COLS), np.bool_)
    if kind == 0:  # slabs
        joint = ((depth * 4 + drift) % 1 < 0.14) | ((across * 3 + drift) % 1 < 0.08)
    elif kind == 1:  # lane markings
        joint = np.abs((across + rng.uniform(-1, 1)) % 2.0) < 0.12
    floor = np.where(joint[..., None], color * rng.uniform(0.65, 1.3), color)
    grain = 1 + 0.12 * _clouds(rng, rows, SCENE_COLS, 12)
    lit: Floats = (floor * grain[..., None] * np.linspace(0.8, 1.1, rows)[:, None, None]).astype(
        np.float32
    )
    return lit


def _furnish(rng: np.random.Generator, picture: Floats, edge: int) -> None:
    """Puts doors, windows, posters, cars' sides and lamp posts in front of the wall."""
    for _ in range(int(rng.integers(2, 10))):
        width, height = int(rng.integers(6, 45)), int(rng.integers(8, 70))
        left = int(rng.integers(-10, SCENE_COLS - 4))
        bottom = min(SCENE_ROWS, edge + int(rng.integers(-25, 25)))
        area = (slice(max(bottom - height, 0), max(bottom, 1)), slice(max(left, 0), left + width))
        color = _surface_color(rng) * rng.uniform(0.5, 1.2)
        picture[area] = color
        inner = picture[area][2:-2, 2:-2]
        inner *= np.linspace(rng.uniform(0.6, 1.1), 1, max(len(inner), 1))[: len(inner), None, None]
    if rng.random() < 0.4:
        left = int(rng.integers(0, SCENE_COLS - 6))
        picture[: edge + 20, left : left + int(rng.integers(2, 6))] = _surface_color(rng) * 0.6


def _plant(rng: np.random.Generator, picture: Floats, edge: int) -> None:
    leaves = _clouds(rng, SCENE_ROWS, SCENE_COLS, 5)
    y = np.arange(SCENE_ROWS)[:, None] - (edge - rng.uniform(0, 50))
    where = (leaves > rng.uniform(-0.1, 0.35)) & (y < rng.uniform(20, 60))
    green = np.array(colorsys.hsv_to_rgb(rng.uniform(0.2, 0.36), 0.55, 0.5), np.float32) * 255
    texture = 1 + 0.5 * rng.uniform(-1, 1, picture.shape[:2]).astype(np.float32)
    picture[where] = (green * texture[..., None])[where]
