"""Writes synthetic pedestrians as a dataset in the Market-1501 layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pose2id.errors import DataError, ParamsError
from pose2id.renderer.camera import Camera
from pose2id.renderer.identity import Identity
from pose2id.renderer.render import Shot, render_shot
from pose2id.renderer.seeds import generator

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"
SPEC_NAME, KEYPOINTS_NAME = "spec.json", "keypoints.json"
_JPEG_QUALITY = 92
# Shots of one person by one camera: those of the query come after those of the gallery.
_QUERY_SHOT, _JUNK_SHOT = 1_000_000, 2_000_000


@dataclass(frozen=True, slots=True)
class SyntheticSpec:
    """What a synthetic dataset holds. Train and test people are disjoint.

    Attributes:
        seed: Seed of the population. Seeds below 1000 are for training, 7000 is the demo, seeds
            from 9000 on are for evaluation only: no model may be trained on those.
        n_train_identities: People in `bounding_box_train`.
        n_test_identities: People in `query` and `bounding_box_test`.
        n_cameras: Cameras; every person walks past all of them.
        images_per_camera: Pictures of each person by each camera, in train and in the gallery.
        queries_per_identity: Query pictures per test person, one per camera from the first on.
        n_distractors: Gallery pictures of people who are nobody's match (person 0000).
        n_junk: Gallery pictures that show bad crops (person -1).
        camera_seed: Seed of the cameras.
        height_px: Height of the pictures.
        width_px: Width of the pictures.
    """

    seed: int
    n_train_identities: int
    n_test_identities: int
    n_cameras: int
    images_per_camera: int
    queries_per_identity: int
    n_distractors: int
    n_junk: int
    camera_seed: int
    height_px: int = 128
    width_px: int = 64

    def __post_init__(self) -> None:
        least = {"n_test_identities": 1, "n_cameras": 1, "images_per_camera": 1}
        least |= {"queries_per_identity": 1, "height_px": 16, "width_px": 8}
        for field in fields(self):
            value, low = getattr(self, field.name), least.get(field.name, 0)
            if value < low:
                raise ParamsError(f"{field.name} is {value}; allowed are {low} and more")
        if self.queries_per_identity > self.n_cameras:
            raise ParamsError(
                f"queries_per_identity is {self.queries_per_identity}; allowed are at most "
                f"n_cameras ({self.n_cameras}), as each camera gives one query"
            )

    @property
    def n_images(self) -> int:
        """Number of pictures in all splits."""
        people = self.n_train_identities + self.n_test_identities
        queries = self.n_test_identities * self.queries_per_identity
        rest = self.n_distractors + self.n_junk
        return people * self.n_cameras * self.images_per_camera + queries + rest


def write_dataset(
    root: Path, spec: SyntheticSpec, advance: Callable[[int], None] = lambda n_done: None
) -> None:
    """Renders a dataset; the folder appears when it is complete, or not at all.

    Besides the three folders of pictures there are `keypoints.json`, from file stem to 18 triples
    x, y, confidence, and `spec.json`. On one machine the same spec gives the same bytes; on
    another processor pixels may differ by a grey level.

    Args:
        root: Folder to write. A dataset rendered earlier is replaced, anything else is not.
        spec: What to render.
        advance: Called with the number of pictures just written.

    Raises:
        DataError: `root` exists and is not a dataset that was rendered earlier.
    """
    if root.exists() and not (root / SPEC_NAME).is_file() and not _is_empty_folder(root):
        raise DataError(
            f"{root} exists and was not rendered here (it has no {SPEC_NAME}): "
            "choose another folder or remove it yourself"
        )
    partial, old = root.with_name(f".{root.name}.partial"), root.with_name(f".{root.name}.old")
    for left_over in (partial, old):
        shutil.rmtree(left_over, ignore_errors=True)
    for folder in (TRAIN, QUERY, GALLERY):
        (partial / folder).mkdir(parents=True)
    keypoints: dict[str, list[list[float]]] = {}
    for folder, stem, shot in _shots(spec):
        path = partial / folder / f"{stem}.jpg"
        Image.fromarray(shot.image).save(path, quality=_JPEG_QUALITY, subsampling=0)
        keypoints[stem] = [[round(float(v), 4) for v in point] for point in shot.keypoints]
        advance(1)
    lines = (f"{json.dumps(stem)}: {json.dumps(keypoints[stem])}" for stem in sorted(keypoints))
    (partial / KEYPOINTS_NAME).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    (partial / SPEC_NAME).write_text(json.dumps(asdict(spec), indent=2) + "\n", encoding="utf-8")
    if root.exists():
        root.rename(old)
    partial.rename(root)
    shutil.rmtree(old, ignore_errors=True)


def read_keypoints(root: Path) -> dict[str, NDArray[np.float32]]:
    """Reads the true key points of a rendered dataset.

    Args:
        root: The dataset's folder.

    Returns:
        From file stem to `(18, 3) float32`: x and y in fractions of the picture, confidence.

    Raises:
        DataError: The folder has no key points.
    """
    path = root / KEYPOINTS_NAME
    if not path.is_file():
        raise DataError(f"{path} is missing: only rendered datasets come with true key points")
    table: dict[str, list[list[float]]] = json.loads(path.read_text(encoding="utf-8"))
    return {stem: np.array(points, np.float32) for stem, points in table.items()}


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and next(path.iterdir(), None) is None


def _shots(spec: SyntheticSpec) -> Iterator[tuple[str, str, Shot]]:
    """Yields folder, file stem and shot of every picture."""
    cameras = [Camera.sample(spec.camera_seed, number) for number in range(spec.n_cameras)]
    size = (spec.height_px, spec.width_px)
    n_people = spec.n_train_identities + spec.n_test_identities
    for index in range(n_people):
        identity = Identity.sample(spec.seed, index)
        trains = index < spec.n_train_identities
        for camera in cameras:
            for number in range(spec.images_per_camera):
                shot = render_shot(identity, camera, number, *size)
                yield TRAIN if trains else GALLERY, _stem(index + 1, camera, number + 1), shot
        if not trains:
            for camera in cameras[: spec.queries_per_identity]:
                shot = render_shot(identity, camera, _QUERY_SHOT, *size)
                yield QUERY, _stem(index + 1, camera, spec.images_per_camera + 1), shot
    for number in range(spec.n_distractors):
        camera = cameras[number % spec.n_cameras]
        identity = Identity.sample(spec.seed, n_people + number)
        yield GALLERY, _stem(0, camera, number + 1), render_shot(identity, camera, 0, *size)
    for number in range(spec.n_junk):
        camera = cameras[number % spec.n_cameras]
        identity = Identity.sample(spec.seed, number % n_people)
        shot = render_shot(identity, camera, _JUNK_SHOT + number, *size)
        yield GALLERY, _stem(-1, camera, number + 1), _bad_crop(shot, spec.seed, number)


def _stem(pid: int, camera: Camera, frame: int) -> str:
    person = "-1" if pid == -1 else f"{pid:04d}"
    return f"{person}_c{camera.index + 1}s1_{frame:06d}_00"


def _bad_crop(shot: Shot, seed: int, number: int) -> Shot:
    """Shows a quarter of a shot, as a detector does that caught half a person or less."""
    rng = generator("junk", seed, number)
    corner = rng.uniform(0, 0.5, 2).astype(np.float32)
    rows, cols = shot.image.shape[:2]
    left, top = int(corner[0] * cols), int(corner[1] * rows)
    image = Image.fromarray(shot.image).crop((left, top, left + cols // 2, top + rows // 2))
    points = shot.keypoints.copy()
    points[:, :2] = (points[:, :2] - np.array([left / cols, top / rows], np.float32)) * 2
    points[:, 2] *= ((points[:, :2] >= 0) & (points[:, :2] < 1)).all(1)
    return Shot(np.asarray(image.resize((cols, rows), Image.Resampling.BILINEAR)), points)
