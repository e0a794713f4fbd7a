from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pose2id.datasets.base import ImageRecord
from pose2id.errors import DataError, ParamsError
from pose2id.poses.standard import STANDARD_POSES
from pose2id.renderer import STUDIO_GROUND
from pose2id.training.pool import Pool
from pose2id.training.recipe import Recipe, check_recipe
from pose2id.training.sources import (
    STUDIO,
    IndexedSource,
    JoinedSource,
    PairIndex,
    RenderedSource,
)

RENDERED = RenderedSource(seed=5, identities=3, shots=2, standard=3, free=1)


def _records(*labels: tuple[int | None, int | None]) -> list[ImageRecord]:
    return [
        ImageRecord(f"train/{row}", f"{row}.png", "train", pid, camid)
        for row, (pid, camid) in enumerate(labels)
    ]


def _indexed(labels, known, root=None):
    records = _records(*labels)
    keypoints = {f"train/{row}": STANDARD_POSES[row % 8] for row in known}
    return IndexedSource(records, root, [f"{row:064x}" for row in range(len(records))], keypoints)


def test_rendered_pairs_go_from_camera_shots_to_studio_pictures_of_the_same_person():
    table = RENDERED.table()
    pairs = PairIndex(table)
    assert len(pairs.references) == 6
    for reference in pairs.references:
        targets = pairs.targets_of(reference)
        assert len(targets) == 4
        assert (table.identity[targets] == table.identity[reference]).all()
        assert (table.camera[targets] == STUDIO).all()
        assert (table.pose[targets] >= 0).all()


def test_standard_targets_are_conditioned_on_the_shipped_key_points():
    table = RENDERED.table()
    np.testing.assert_array_equal(table.keypoints[:8], STANDARD_POSES)
    free = table.keypoints[table.pose[5]]  # person 0: two shots, three standard poses, one free
    assert (free[:, 2] == 1).all()


def test_every_shot_has_a_camera_of_its_own():
    table = RENDERED.table()
    assert len(set(table.camera[table.is_reference].tolist())) == 6


def test_more_identities_keep_the_first_pictures_and_the_fingerprint():
    more = RenderedSource(seed=5, identities=4, shots=2, standard=3, free=1)
    assert more.fingerprint == RENDERED.fingerprint
    assert RenderedSource(6, 3, 2, 3, 1).fingerprint != RENDERED.fingerprint
    np.testing.assert_array_equal(more.picture(7, 32, 16), RENDERED.picture(7, 32, 16))


def test_a_pool_of_both_looks_has_every_other_person_of_each():
    plain, street, both = (replace(RENDERED, look=look) for look in ("plain", "street", "both"))
    per_person = 6
    for person, same in enumerate((plain, street, plain)):
        for slot in (0, 3):
            row = person * per_person + slot
            np.testing.assert_array_equal(both.picture(row, 32, 16), same.picture(row, 32, 16))
    assert not np.array_equal(plain.picture(0, 32, 16), street.picture(0, 32, 16))
    assert len({source.fingerprint for source in (plain, street, both)}) == 3


def test_indexed_pairs_cross_cameras_and_need_key_points_of_the_target():
    source = _indexed([(1, 0), (1, 0), (1, 1), (2, 0), (None, 0)], known=[0, 2, 3])
    pairs = PairIndex(source.table())
    assert pairs.references.tolist() == [0, 1, 2]  # person 2 has one picture only
    assert pairs.targets_of(0).tolist() == [2]
    assert pairs.targets_of(1).tolist() == [2]
    assert pairs.targets_of(2).tolist() == [0]  # 1 has no key points


def test_without_cameras_any_other_picture_of_the_person_will_do():
    pairs = PairIndex(_indexed([(1, None), (1, None)], known=[0, 1]).table())
    assert pairs.targets_of(0).tolist() == [1]


def test_an_index_without_any_pair_is_refused():
    with pytest.raises(DataError, match="another camera"):
        _indexed([(1, 0), (1, 0), (2, 1)], known=[0, 1, 2])


def test_the_pool_reads_pictures_once_and_computes_derived_arrays_once(tmp_path):
    for row in range(3):
        Image.new("RGB", (20, 50), (row * 40, 0, 0)).save(tmp_path / f"{row}.png")
    source = _indexed([(1, 0), (1, 1), (1, 2)], known=[0, 1, 2], root=tmp_path)
    pool = Pool(source, tmp_path / "cache", 32, 16)
    first = pool.pictures(np.arange(3))
    assert first.shape == (3, 32, 16, 3)
    for row in range(3):
        (tmp_path / f"{row}.png").unlink()
    again = Pool(source, tmp_path / "cache", 32, 16)
    np.testing.assert_array_equal(again.pictures(np.arange(3)), first)
    calls = []

    def red(pictures):
        calls.append(len(pictures))
        return pictures[:, 0, 0, 0].astype(np.float32)

    for opened in (pool, again):
        found = opened.derived("red", np.array([2, 0]), red)
        assert found.tolist() == [80.0, 0.0]
    assert calls == [2]


def test_a_pool_grows_when_identities_are_added(tmp_path):
    small = Pool(RENDERED, tmp_path, 32, 16)
    grown = Pool(RenderedSource(5, 4, 2, 3, 1), tmp_path, 32, 16)
    assert (len(small), len(grown)) == (18, 24)
    rows = np.arange(18)
    np.testing.assert_array_equal(small.pictures(rows), grown.pictures(rows))
    assert grown.pictures(np.array([23])).std() > 0


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"seeed": 1}, "seeed"),
        ({"data": {"source": "rendered", "seed": 9000}}, "seed"),
        ({"ipg": {"loop": {"steps": 0, "lr": 1e-3}}}, "ipg.loop.steps"),
    ],
)
def test_a_wrong_recipe_names_the_key(change, key):
    recipe = {
        "seed": 1,
        "runs": "runs",
        "out": "out",
        "cache": "cache",
        "data": {
            "source": "rendered",
            "seed": 1,
            "identities": 3,
            "shots": 2,
            "standard": 3,
            "free": 1,
        },
        "model": {},
        "ipg": {"loop": {"steps": 4, "lr": 1e-3}},
    }
    check_recipe(Recipe, recipe, "recipe.yaml")
    with pytest.raises(ParamsError, match=key):
        check_recipe(Recipe, recipe | change, "recipe.yaml")


def test_joined_sources_keep_their_people_and_pictures_apart():
    real = _indexed([(1, 0), (1, 1), (2, 0), (2, 1)], known=[0, 1, 2, 3])
    rendered = RenderedSource(3, 2, 1, 1, 0)
    joined = JoinedSource([real, rendered])
    table, n = joined.table(), 4
    np.testing.assert_array_equal(table.identity, [0, 0, 1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(table.is_photo, [True] * 4 + [False] * 4)
    of_rendered = rendered.table()
    for row in np.flatnonzero(of_rendered.pose >= 0):
        pose = table.keypoints[table.pose[n + row]]
        np.testing.assert_array_equal(pose, of_rendered.keypoints[of_rendered.pose[row]])
    np.testing.assert_array_equal(joined.picture(n + 1, 32, 16), rendered.picture(1, 32, 16))
    assert joined.fingerprint != JoinedSource([rendered]).fingerprint


def test_people_are_cut_out_by_their_key_points_and_put_into_the_studio(tmp_path):
    records = _records((1, 0), (1, 1))
    for row in range(2):
        Image.new("RGB", (16, 32), (200, 0, 0)).save(tmp_path / f"{row}.png")
    keypoints = {"train/0": STANDARD_POSES[0], "train/1": np.zeros((18, 3), np.float32)}
    source = IndexedSource(records, tmp_path, ["a", "b"], keypoints, background="studio")
    table = source.table()
    np.testing.assert_array_equal(table.identity, [0, 0, 0])  # nobody is seen in the second image
    np.testing.assert_array_equal(table.is_reference, [True, True, False])
    np.testing.assert_array_equal(table.is_target, [False, False, True])
    assert PairIndex(table).targets_of(1).tolist() == [2]
    plain, studio = source.picture(0, 128, 64), source.picture(2, 128, 64)
    assert (plain == [200, 0, 0]).all()
    assert (studio[:9, :9] == STUDIO_GROUND).all()
    assert (studio[64, 32] == [200, 0, 0]).all()
    kept = IndexedSource(records, tmp_path, ["a", "b"], keypoints)
    assert kept.fingerprint != source.fingerprint
