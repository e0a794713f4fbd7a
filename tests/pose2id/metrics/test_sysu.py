"""SYSU-MM01's two trial definitions against plain loops, and the official permutations."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from pose2id.errors import DataError
from pose2id.metrics import Labels, evaluate, read_permutations
from tests.pose2id.metrics.plain import agrees, means, over_trials, walk

OFFICIAL = Path("../shared/data/protocols/sysu-mm01")
MODES = {"all": (1, 2, 4, 5), "indoor": (1, 2)}


class Sysu:
    """Random distances between infrared and visible images, both in the order of their names."""

    def __init__(
        self, counts: dict[tuple[int, int], int], n_query: int = 12, seed: int = 0
    ) -> None:
        rng = np.random.default_rng(seed)
        self.names = sorted(
            (f"cam{camera}/{pid:04d}/{number:04d}", pid, camera, number)
            for (pid, camera), n in counts.items()
            for number in range(1, n + 1)
        )
        people = sorted({pid for pid, _ in counts})
        self.query_pids = rng.choice(people, n_query)
        self.query_cams = rng.choice([3, 6], n_query)
        same = self.query_pids[:, None] == np.array([pid for _, pid, _, _ in self.names])
        self.distances = np.round(rng.random(same.shape) - 0.3 * same, 2)  # with ties

    def score(
        self, protocol: str, first_camera: int = 1, order: np.ndarray | None = None, **options
    ):
        order = np.arange(len(self.names)) if order is None else order
        shift = first_camera - 1
        gallery = Labels(
            np.array([pid for _, pid, _, _ in self.names])[order],
            np.array([camera for _, _, camera, _ in self.names])[order] + shift,
            image_ids=np.array([name for name, _, _, _ in self.names])[order],
        )
        # distances tie by a hash of ids in ours, by name in the plain loops: keep them apart
        untied = self.distances + 1e-9 * np.arange(len(self.names))
        return evaluate(
            untied[:, order],
            query_labels=Labels(self.query_pids, self.query_cams + shift),
            gallery_labels=gallery,
            protocol=protocol,
            **options,
        )

    def plain(self, trials: list[set[str]]):
        """Trials as sets of the names that are in the gallery."""
        pids = np.array([pid for _, pid, _, _ in self.names])
        results = []
        for chosen in trials:
            found = []
            for row, pid, camera in zip(
                self.distances, self.query_pids, self.query_cams, strict=True
            ):
                visible = [
                    g
                    for g, (name, _, of_gallery, _) in enumerate(self.names)
                    if name in chosen and not (camera == 3 and of_gallery == 2)
                ]
                found.append(walk(row, visible, pid, pids))
            results.append(means(found, person_ranks=True))
        return over_trials(results)


def small() -> Sysu:
    rng = np.random.default_rng(5)
    cells = [(pid, camera) for pid in (6, 10, 17, 21, 24, 333) for camera in (1, 2, 3, 4, 5)]
    return Sysu({cell: int(rng.integers(1, 15)) for cell in cells if rng.random() < 0.8})


@pytest.mark.parametrize("mode", MODES)
def test_seeded_trials_choose_like_pythons_random(mode):
    sysu = small()
    trials = []
    for trial in range(10):
        random.seed(trial)
        chosen = set()
        for pid in sorted({pid for _, pid, _, _ in sysu.names}):
            for camera in MODES[mode]:
                files = [name for name, p, c, _ in sysu.names if (p, c) == (pid, camera)]
                if files:
                    chosen.add(random.choice(files))
        trials.append(chosen)
    plain = sysu.plain(trials)
    ours = sysu.score(f"sysu_mm01_{mode}_1shot_seeded")
    agrees(ours, plain)
    assert ours.n_trials == 10
    assert ours.mAP_std > 0
    # neither the number of the first camera nor the order of rows matters
    shuffled = np.random.default_rng(1).permutation(len(sysu.names))
    agrees(sysu.score(f"sysu_mm01_{mode}_1shot_seeded", 0, shuffled), plain)
    several = sysu.score(f"sysu_mm01_{mode}_10shot_seeded")
    assert several.mAP != ours.mAP


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shots", [1, 10])
def test_official_trials_equal_plain_loops_over_the_authors_file(mode, shots):
    if not OFFICIAL.exists():
        pytest.skip(f"{OFFICIAL} is not here")
    cells = loadmat(OFFICIAL / "rand_perm_cam.mat")["rand_perm_cam"]
    people = loadmat(OFFICIAL / "test_id.mat")["id"].ravel()[:9].tolist()
    counts = {}
    for pid in people:
        for camera in (1, 2, 4, 5):
            n = cells[camera - 1, 0][pid - 1, 0].shape[1]
            if n:
                counts[pid, camera] = n
    sysu = Sysu(counts)
    trials = [
        {
            f"cam{camera}/{pid:04d}/{number:04d}"
            for pid, camera in counts
            if camera in MODES[mode]
            for number in cells[camera - 1, 0][pid - 1, 0][trial][:shots]
        }
        for trial in range(10)
    ]
    ours = sysu.score(
        f"sysu_mm01_{mode}_{shots}shot",
        permutations=read_permutations(OFFICIAL / "rand_perm_cam.mat"),
    )
    agrees(ours, sysu.plain(trials))
    assert ours.n_trials == 10
    assert not ours.notes


def permutations_of(sysu: Sysu, missing: int = 0):
    """Permutations of the test's own images, of three trials."""
    rng = np.random.default_rng(2)
    sizes: dict[tuple[int, int], int] = {}
    for _, pid, camera, number in sysu.names:
        sizes[camera, pid] = max(number, sizes.get((camera, pid), 0))
    return {
        cell: np.stack([rng.permutation(n + missing) + 1 for _ in range(3)])
        for cell, n in sizes.items()
    }


def test_a_gallery_that_lacks_images_is_drawn_from_and_noted():
    sysu = small()
    whole = sysu.score("sysu_mm01_all_1shot", permutations=permutations_of(sysu))
    assert (whole.n_trials, whole.notes) == (3, ())
    lacking = sysu.score("sysu_mm01_all_1shot", permutations=permutations_of(sysu, missing=2))
    assert "another number of images than the official permutations" in " ".join(lacking.notes)
    assert {trial.n_valid for trial in lacking.trials} != {0}


def test_missing_or_foreign_permutations_and_cameras_are_named(tmp_path):
    sysu = small()
    with pytest.raises(DataError, match=r"score\.permutations.*_seeded"):
        sysu.score("sysu_mm01_all_1shot")
    with pytest.raises(DataError, match=r"know no images of .* person 6 in camera"):
        sysu.score("sysu_mm01_all_1shot", permutations={(1, 99): np.ones((1, 1), int)})
    sysu.query_cams[0] = 1
    with pytest.raises(DataError, match="infrared cameras 3 and 6"):
        sysu.score("sysu_mm01_all_1shot_seeded")
    with pytest.raises(DataError, match="there is no file"):
        read_permutations(tmp_path / "rand_perm_cam.mat")
    (tmp_path / "text.mat").write_text("no matrix")
    with pytest.raises(DataError, match=r"text\.mat is not SYSU-MM01's"):
        read_permutations(tmp_path / "text.mat")
    savemat(tmp_path / "other.mat", {"id": np.arange(3)})
    with pytest.raises(DataError, match=r"other\.mat is not SYSU-MM01's.*KeyError"):
        read_permutations(tmp_path / "other.mat")


def test_one_image_ahead_counts_once_per_person():
    # two images of person 2 lie ahead of person 1: rank 2 among persons, 3 among images
    ours = evaluate(
        np.array([[0.1, 0.2, 0.3, 0.05]]),
        query_labels=Labels([1], [6]),
        gallery_labels=Labels([2, 2, 1, 3], [1, 4, 1, 3]),  # camera 3 is not in the gallery
        protocol="sysu_mm01_all_1shot_seeded",
    )
    assert ours.first_hit_rank.tolist() == [2]
    assert ours.ap[0] == pytest.approx(1 / 3)
    assert ours.cmc[:2].tolist() == [0, 1]
