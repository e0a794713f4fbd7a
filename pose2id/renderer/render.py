"""Two renderings of one person: in the studio, and as a camera sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pose2id.renderer.body import Figure
from pose2id.renderer.camera import Camera
from pose2id.renderer.identity import Identity, Look
from pose2id.renderer.paint import Canvas, Floats
from pose2id.renderer.scene import SCENE_COLS, SCENE_ROWS, SCENES_PER_CAMERA, scene
from pose2id.renderer.seeds import generator
from pose2id.renderer.skeleton import Joints, walking_joints

STUDIO_GROUND = 228
_STUDIO_LIGHT = (-0.35, -0.45, 0.85)


@dataclass(frozen=True, slots=True)
class Shot:
    """A camera's picture of a person.

    Attributes:
        image: `(H, W, 3) uint8` RGB.
        keypoints: `(18, 3) float32` x and y in fractions of the picture, confidence 1, or 0
            where something stands in front or the joint lies outside of the picture.
    """

    image: NDArray[np.uint8]
    keypoints: NDArray[np.float32]


def render_studio(
    identity: Identity,
    joints: Joints,
    height_px: int = 128,
    width_px: int = 64,
    infrared: bool = False,
) -> NDArray[np.uint8]:
    """Draws a person on neutral light ground, without noise.

    Args:
        identity: The person.
        joints: `(18, 3) float32`, see `skeleton`.
        height_px: Height of the picture.
        width_px: Width of the picture.
        infrared: Near-infrared brightness in place of colour.

    Returns:
        `(height_px, width_px, 3) uint8` RGB.
    """
    color, cover = _draw(identity, joints, height_px, width_px, _STUDIO_LIGHT, infrared)
    picture = color + (1 - cover[..., None]) * np.float32(STUDIO_GROUND)
    return np.rint(picture).astype(np.uint8)


def studio_mask(
    identity: Identity, joints: Joints, height_px: int = 128, width_px: int = 64
) -> NDArray[np.bool_]:
    """Tells which pixels of a studio picture show the person, `(height_px, width_px) bool`."""
    _, cover = _draw(identity, joints, height_px, width_px, _STUDIO_LIGHT, False)
    person: NDArray[np.bool_] = cover >= 0.5
    return person


def render_shot(
    identity: Identity,
    camera: Camera,
    shot_seed: int,
    height_px: int = 128,
    width_px: int = 64,
    infrared: bool = False,
) -> Shot:
    """Draws a walking person as a camera sees them.

    Args:
        identity: The person.
        camera: The camera.
        shot_seed: Number of the shot: decides pose, view, background, occluders and noise.
        height_px: Height of the picture.
        width_px: Width of the picture.
        infrared: Picture of a near-infrared camera: three equal channels.

    Returns:
        The picture and its key points.
    """
    rng = generator(
        *("shot", identity.seed, identity.index),
        *(camera.seed, camera.index, shot_seed, int(infrared)),
    )
    # Half of the people follow the site's direction, the others come from anywhere.
    follows = rng.random() < 0.5
    azimuth = camera.azimuth_deg + rng.normal(0, 25) if follows else rng.uniform(0, 360)
    joints = _crop(walking_joints(azimuth, rng.random(), rng), identity.height, camera, rng)
    size = (height_px, width_px)
    picture = _background(camera, rng, size, infrared)
    _cast_shadow(picture, joints)
    light = _falling_light(rng, size)
    kind = rng.random() / camera.crowd
    hidden = np.zeros(size, np.float32)
    if kind < 0.3:  # a person further away
        _passer_by(picture, camera, rng, infrared, (0.3, 0.75), identity.look)
    color, cover = _draw(identity, joints, height_px, width_px, camera.light, infrared)
    picture *= 1 - cover[..., None]
    picture += color
    if 0.3 <= kind < 0.5:  # a person nearer to the camera
        hidden = _passer_by(picture, camera, rng, infrared, (0.45, 0.7), identity.look)
    elif 0.5 <= kind < 1:
        hidden = _object(picture, rng, infrared)
    return Shot(camera.expose(picture * light, rng, infrared), _keypoints(joints, hidden))


def _draw(
    identity: Identity,
    joints: Joints,
    height_px: int,
    width_px: int,
    light: tuple[float, float, float],
    infrared: bool,
) -> tuple[Floats, Floats]:
    canvas = Canvas(height_px, width_px, light)
    Figure(canvas, identity, joints, infrared).draw()
    return canvas.reduce()


def _crop(joints: Joints, height: float, camera: Camera, rng: np.random.Generator) -> Joints:
    """Scales by body height and applies the errors of a detector's box."""
    jitter = camera.crop_jitter
    scale = height * (0.94 + jitter * rng.normal(0.0, 0.08))
    shift = np.array([rng.normal(0, 0.05), rng.normal(0, 0.03), 0]) * jitter
    if camera.bad_crops and rng.random() < camera.bad_crops:
        scale *= rng.uniform(0.75, 1.35)
        shift = shift + np.array([rng.uniform(-0.2, 0.2), rng.uniform(-0.12, 0.12), 0])
    centre = np.array([0.5, 0.5, 0])
    cropped: Joints = ((joints - centre) * scale + centre + shift).astype(np.float32)
    return cropped


def _background(
    camera: Camera, rng: np.random.Generator, size: tuple[int, int], infrared: bool
) -> Floats:
    number = int(rng.integers(SCENES_PER_CAMERA))
    image = scene(camera.seed, camera.index, number, infrared)
    zoom = rng.uniform(0.75, 1.0)
    rows, cols = int(SCENE_ROWS * zoom * 0.8), int(SCENE_ROWS * zoom * 0.4)
    top = int(rng.integers(SCENE_ROWS - rows + 1))
    left = int(rng.integers(SCENE_COLS - cols + 1))
    # Nearest pixels will do: the camera blurs afterwards.
    y = top + np.arange(size[0]) * rows // size[0]
    x = left + np.arange(size[1]) * cols // size[1]
    return image[y[:, None], x[None]].astype(np.float32)


def _cast_shadow(picture: Floats, joints: Joints) -> None:
    rows, cols = picture.shape[:2]
    feet = joints[[10, 13]]
    x = (np.arange(cols)[None] / cols - feet[:, 0].mean()) / 0.38
    y = (np.arange(rows)[:, None] / rows - feet[:, 1].max() - 0.02) / 0.05
    picture *= (1 - 0.45 * np.exp(-(x * x + y * y) * 2)).astype(np.float32)[..., None]


def _falling_light(rng: np.random.Generator, size: tuple[int, int]) -> Floats:
    """Light over the picture, `(H, W, 1)`: in every third shot a shadow's edge runs through it."""
    y = np.linspace(-1, 1, size[0], dtype=np.float32)[:, None, None]
    x = np.linspace(-0.5, 0.5, size[1], dtype=np.float32)[None, :, None]
    tilt, offset, softness = rng.uniform(0, 2 * np.pi), rng.uniform(-0.4, 0.4), rng.uniform(4, 25)
    edge = (x * np.cos(tilt) + y * np.sin(tilt) - offset).astype(np.float32)
    depth = rng.uniform(0.25, 0.6) if rng.random() < 0.35 else 0.0
    shade = 1 / (1 + np.exp(-edge * np.float32(softness)))
    light: Floats = (1 - depth * shade).astype(np.float32)
    return light


def _passer_by(
    picture: Floats,
    camera: Camera,
    rng: np.random.Generator,
    infrared: bool,
    distance: tuple[float, float],
    look: Look,
) -> Floats:
    """Draws another person off to one side; returns the cover `(H, W)`."""
    other = Identity.sample(-1, int(rng.integers(1 << 31)), look)
    joints = walking_joints(rng.uniform(0, 360), rng.random(), rng)
    joints[:, 0] += rng.choice([-1.0, 1.0]) * rng.uniform(*distance)
    rows, cols = picture.shape[:2]
    color, cover = _draw(other, joints, rows, cols, camera.light, infrared)
    picture *= 1 - cover[..., None]
    picture += color
    return cover


def _object(picture: Floats, rng: np.random.Generator, infrared: bool) -> Floats:
    """Puts a pole, a box or a railing in front; returns the cover `(H, W)`."""
    rows, cols = picture.shape[:2]
    y, x = np.arange(rows)[:, None] / rows, np.arange(cols)[None] / cols
    kind = int(rng.integers(4))
    if kind == 0:  # pole
        centre, width = rng.uniform(0.05, 0.95), rng.uniform(0.04, 0.1)
        hidden = np.broadcast_to(np.abs(x - centre) < width, (rows, cols))
    elif kind == 1:  # box or car in front of the legs
        left, right = sorted(rng.uniform(-0.3, 1.3, 2))
        hidden = (y > rng.uniform(0.62, 0.85)) & (x > left) & (x < max(right, left + 0.4))
    elif kind == 2:  # railing
        top = rng.uniform(0.55, 0.75)
        hidden = (y > top) & (((x + rng.random()) % 0.16 < 0.035) | (y < top + 0.03))
    else:  # wall's end
        side, width = rng.random() < 0.5, rng.uniform(0.12, 0.3)
        hidden = np.broadcast_to((x < width) if side else (x > 1 - width), (rows, cols))
    color = rng.uniform(30, 220) * np.ones(3) if infrared else rng.uniform(30, 210, 3)
    shading = 0.8 + 0.4 * x[..., None]
    picture[hidden] = np.broadcast_to(color * shading, picture.shape)[hidden]
    return hidden.astype(np.float32)


def _keypoints(joints: Joints, hidden: Floats) -> NDArray[np.float32]:
    rows, cols = hidden.shape
    points = joints.copy()
    inside = ((joints[:, :2] >= 0) & (joints[:, :2] < 1)).all(1)
    y = np.clip((joints[:, 1] * rows).astype(int), 0, rows - 1)
    x = np.clip((joints[:, 0] * cols).astype(int), 0, cols - 1)
    points[:, 2] = inside & (hidden[y, x] < 0.5)
    return points
