"""Where training pictures come from: rendered identities, or the images of an indexed dataset.

Both are a table of pictures. A picture can be a reference (what a camera saw), a target (what the
generator shall draw), or both; a pair is a reference and a target of one identity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pose2id.datasets.base import ImageRecord
from pose2id.errors import DataError
from pose2id.poses.body_mask import body_mask, person_height
from pose2id.poses.standard import STANDARD_POSES
from pose2id.renderer import (
    STANDARD_JOINTS,
    STUDIO_GROUND,
    Camera,
    Identity,
    Look,
    render_shot,
    render_studio,
    walking_joints,
)

Background = Literal["keep", "studio"]

LOOKS: tuple[Look, ...] = get_args(Look)
PoolLook = Look | Literal["both"]

STUDIO = -1
"""Camera number of pictures that no camera took."""


@dataclass(frozen=True, slots=True)
class PictureTable:
    """What is known about each of N pictures.

    Attributes:
        identity: `(N,) int64`, 0-based and dense.
        camera: `(N,) int64`; a target is never paired with a reference of its own camera. `STUDIO`
            where there is none.
        is_reference: `(N,) bool`.
        is_target: `(N,) bool`.
        pose: `(N,) int64` row of `keypoints`.
        keypoints: `(K, 18, 3) float32`, the different poses.
        is_photo: `(N,) bool`, shows a real person.
    """

    identity: NDArray[np.int64]
    camera: NDArray[np.int64]
    is_reference: NDArray[np.bool_]
    is_target: NDArray[np.bool_]
    pose: NDArray[np.int64]
    keypoints: NDArray[np.float32]
    is_photo: NDArray[np.bool_]

    def head(self, limit: int | None) -> PictureTable:
        """The first `limit` pictures with all poses; everything for None."""
        part = slice(limit)
        return PictureTable(
            self.identity[part],
            self.camera[part],
            self.is_reference[part],
            self.is_target[part],
            self.pose[part],
            self.keypoints,
            self.is_photo[part],
        )


class PictureSource(Protocol):
    """Pictures with their table."""

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of everything that determines table and pictures."""
        ...

    def table(self) -> PictureTable:
        """Describes all pictures."""
        ...

    def picture(self, index: int, height_px: int, width_px: int) -> NDArray[np.uint8]:
        """Makes picture `index` of the table; returns `(height_px, width_px, 3) uint8` RGB."""
        ...


def _rng(*parts: object) -> np.random.Generator:
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


@dataclass(frozen=True, slots=True)
class RenderedSource:
    """Rendered identities: camera shots are references, studio pictures are targets.

    Attributes:
        seed: Seed of identities, cameras and poses; larger ones than 999 are for demos and tests.
        identities: Number of identities.
        shots: Camera pictures per identity, each by a camera of its own.
        standard: Studio pictures per identity in standard poses.
        free: Studio pictures per identity in random walking poses.
        look: How people dress and cameras see; `both`: every other person is of each look.
    """

    seed: int
    identities: int
    shots: int
    standard: int
    free: int
    look: PoolLook = "plain"

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of the settings and of the renderer's output for an identity of each look.

        The number of identities is left out: more of them only add pictures at the end.
        """
        n = self._per_identity * (len(LOOKS) if self.look == "both" else 1)
        sample = np.concatenate([self.picture(index, 128, 64) for index in range(n)])
        return hashlib.sha256(
            repr(replace(self, identities=0)).encode() + sample.tobytes()
        ).hexdigest()

    @property
    def _per_identity(self) -> int:
        return self.shots + self.standard + self.free

    def _joints(self, identity: int, free: int) -> NDArray[np.float32]:
        rng = _rng("free pose", self.seed, identity, free)
        azimuth_deg, phase = float(rng.uniform(0, 360)), float(rng.uniform(0, 1))
        return walking_joints(azimuth_deg, phase, rng)

    def _standard_poses(self, identity: int) -> NDArray[np.int64]:
        order = _rng("standard poses", self.seed, identity).permutation(len(STANDARD_JOINTS))
        return np.resize(order, self.standard)

    def table(self) -> PictureTable:
        """Describes all pictures, identity by identity: shots, standard poses, free poses."""
        n, per = self.identities, self._per_identity
        slot = np.tile(np.arange(per), n)  # (N,)
        identity = np.repeat(np.arange(n), per)
        is_shot = slot < self.shots
        pose = np.full(n * per, -1, dtype=np.int64)
        keypoints = list(STANDARD_POSES)
        for person in range(n):
            first = person * per + self.shots
            pose[first : first + self.standard] = self._standard_poses(person)
            for free in range(self.free):
                pose[first + self.standard + free] = len(keypoints)
                points = self._joints(person, free).copy()
                points[:, 2] = 1.0  # depth makes way for confidence: the studio hides nothing
                keypoints.append(points)
        camera = np.where(is_shot, identity * self.shots + slot, STUDIO)
        return PictureTable(
            *(identity, camera, is_shot, ~is_shot, pose, np.stack(keypoints)),
            is_photo=np.zeros(n * per, dtype=np.bool_),
        )

    def picture(self, index: int, height_px: int, width_px: int) -> NDArray[np.uint8]:
        """Renders one picture."""
        person, slot = divmod(index, self._per_identity)
        look = self.look if self.look != "both" else LOOKS[person % len(LOOKS)]
        identity = Identity.sample(self.seed, person, look)
        if slot < self.shots:
            number = person * self.shots + slot
            shot = render_shot(identity, Camera.sample(self.seed, number, look), number)
            return resize(Image.fromarray(shot.image), height_px, width_px)
        if slot < self.shots + self.standard:
            joints = STANDARD_JOINTS[self._standard_poses(person)[slot - self.shots]]
        else:
            joints = self._joints(person, slot - self.shots - self.standard)
        return render_studio(identity, joints, height_px, width_px)


class IndexedSource:
    """Images of a dataset: each is a reference, and a target where its key points are known.

    Attributes:
        fingerprint: Hex sha256 of names, labels, file contents, key points and background.
    """

    def __init__(
        self,
        records: Sequence[ImageRecord],
        root: Path,
        sha256: Sequence[str],
        keypoints: Mapping[str, NDArray[np.float32]],
        background: Background = "keep",
    ) -> None:
        """Keeps what can form pairs.

        Args:
            records: Images with labels.
            root: Folder that the records' paths start from.
            sha256: Hash of each record's file.
            keypoints: `(18, 3) float32` by image id, x and y in [0, 1].
            background: What surrounds the person of a target: `keep` it, or put the person on the
                renderer's `studio` ground, cut out by the key points.

        Raises:
            DataError: No identity has a target and a reference of another camera.
        """
        kept = [i for i, r in enumerate(records) if r.pid is not None and not r.distractor]
        self._records = [records[i] for i in kept]
        self._root = root
        self._keypoints = keypoints
        self._studio = background == "studio"
        ids = [record.image_id for record in self._records]
        self._posed = [
            row for row, i in enumerate(ids) if i in keypoints and self._is_target(keypoints[i])
        ]
        names = "".join(f"{records[i].image_id}|{records[i].pid}|{sha256[i]}\n" for i in kept)
        poses = b"".join(keypoints[ids[row]].tobytes() for row in self._posed)
        how = f"{background}{STUDIO_GROUND}" if self._studio else ""
        self.fingerprint = hashlib.sha256(names.encode() + poses + how.encode()).hexdigest()
        if not len(PairIndex(self.table()).targets):
            raise DataError(
                f"none of the {len(records)} images can be a training target: that needs key "
                "points and another image of the person by another camera. Check pid, camid and "
                "the image ids of the key-point table."
            )

    def _is_target(self, keypoints: NDArray[np.float32]) -> bool:
        return not self._studio or person_height(keypoints) is not None

    def table(self) -> PictureTable:
        """Describes the images in the order of the records, then those cut out for the studio."""
        n, extra = len(self._records), len(self._posed) if self._studio else 0
        pids = [record.pid for record in self._records]
        identity = np.unique(np.asarray(pids, dtype=np.int64), return_inverse=True)[1]
        # Without cameras every image counts as its own camera: any other may be the reference.
        camera = np.asarray(
            [
                record.camid if record.camid is not None else -2 - row
                for row, record in enumerate(self._records)
            ],
            dtype=np.int64,
        )
        rows = np.concatenate([np.arange(n), self._posed[:extra]]).astype(np.int64)
        is_copy = np.arange(n + extra) >= n
        pose = np.full(n + extra, -1, dtype=np.int64)
        pose[np.flatnonzero(is_copy) if self._studio else self._posed] = np.arange(len(self._posed))
        points = [self._keypoints[self._records[row].image_id] for row in self._posed]
        return PictureTable(
            identity=identity[rows].astype(np.int64),
            camera=camera[rows],
            is_reference=~is_copy,
            is_target=pose >= 0,
            pose=pose,
            keypoints=np.asarray(points, dtype=np.float32).reshape(-1, 18, 3),
            is_photo=np.ones(n + extra, dtype=np.bool_),
        )

    def picture(self, index: int, height_px: int, width_px: int) -> NDArray[np.uint8]:
        """Reads one image."""
        n = len(self._records)
        record = self._records[index if index < n else self._posed[index - n]]
        with Image.open(self._root / record.path) as image:
            picture = resize(image, height_px, width_px)
        if index < n:
            return picture
        mask = body_mask(self._keypoints[record.image_id], height_px, width_px)
        if mask is None:
            raise DataError(f"{record.image_id} can't be cut out by its key points.")
        person = mask[..., None]
        shown: NDArray[np.uint8] = np.rint(picture * person + STUDIO_GROUND * (1 - person)).astype(
            np.uint8
        )
        return shown


class JoinedSource:
    """Several sources one after the other: their people are different ones.

    Attributes:
        fingerprint: Hex sha256 of the sources' fingerprints.
    """

    def __init__(self, sources: Sequence[PictureSource]) -> None:
        """Joins sources.

        Args:
            sources: One or more.
        """
        self._sources = list(sources)
        self._tables = [source.table() for source in self._sources]
        sizes = [len(table.identity) for table in self._tables]
        self._starts = np.concatenate([[0], np.cumsum(sizes)])
        names = "|".join(source.fingerprint for source in self._sources)
        self.fingerprint = hashlib.sha256(f"{names}|{sizes}".encode()).hexdigest()

    def table(self) -> PictureTable:
        """Describes all pictures, source by source."""
        tables = self._tables
        people = np.cumsum([0, *(int(t.identity.max(initial=-1)) + 1 for t in tables)])
        poses = np.cumsum([0, *(len(t.keypoints) for t in tables)])
        return PictureTable(
            np.concatenate([t.identity + n for t, n in zip(tables, people, strict=False)]),
            np.concatenate([t.camera for t in tables]),
            np.concatenate([t.is_reference for t in tables]),
            np.concatenate([t.is_target for t in tables]),
            np.concatenate(
                [np.where(t.pose < 0, -1, t.pose + n) for t, n in zip(tables, poses, strict=False)]
            ),
            np.concatenate([t.keypoints for t in tables]),
            np.concatenate([t.is_photo for t in tables]),
        )

    def picture(self, index: int, height_px: int, width_px: int) -> NDArray[np.uint8]:
        """Makes one picture."""
        which = int(np.searchsorted(self._starts, index, side="right")) - 1
        row = index - int(self._starts[which])
        return self._sources[which].picture(row, height_px, width_px)


class PairIndex:
    """Which references go with which targets.

    Attributes:
        targets: `(T,) int64` pictures that have at least one usable reference.
        references: `(R,) int64` pictures that have at least one usable target.
    """

    def __init__(self, table: PictureTable) -> None:
        """Groups the pictures of a table by identity.

        Args:
            table: The pictures.
        """
        self._table = table
        order = np.argsort(table.identity, kind="stable")
        cuts = np.flatnonzero(np.diff(table.identity[order])) + 1
        self.groups = np.split(order, cuts)
        """Rows of each identity, `groups[identity]`."""
        references = [
            row for row in np.flatnonzero(table.is_reference).tolist() if len(self.targets_of(row))
        ]
        self.references = np.asarray(references, dtype=np.int64)
        found = [self.targets_of(row) for row in references]
        self.targets = np.unique(np.concatenate(found)) if found else self.references

    def targets_of(self, reference: int) -> NDArray[np.int64]:
        """The targets that may be drawn from a reference: same identity, another camera.

        Args:
            reference: Row of the reference.

        Returns:
            `(n,) int64` rows.
        """
        table = self._table
        rows = self.groups[table.identity[reference]]
        usable = table.is_target[rows] & (table.camera[rows] != table.camera[reference])
        found: NDArray[np.int64] = rows[usable]
        return found


def resize(image: Image.Image, height_px: int, width_px: int) -> NDArray[np.uint8]:
    """Brings a picture to the generator's size.

    Args:
        image: Any size and mode.
        height_px: Wanted height.
        width_px: Wanted width.

    Returns:
        `(height_px, width_px, 3) uint8` RGB (LANCZOS).
    """
    rgb = image.convert("RGB").resize((width_px, height_px), Image.Resampling.LANCZOS)
    return np.asarray(rgb, dtype=np.uint8)
