"""People and cameras: the same on every call, the right side in view, real variety."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from pose2id.poses.standard import STANDARD_POSES
from pose2id.renderer import (
    STANDARD_JOINTS,
    Camera,
    Identity,
    render_shot,
    render_studio,
    studio_mask,
    walking_joints,
)
from pose2id.renderer.cloth import garment_paint
from pose2id.renderer.identity import Material
from pose2id.renderer.render import STUDIO_GROUND

MAGENTA = Material((255.0, 0.0, 255.0), 128.0)


def joints_at(azimuth_deg):
    return walking_joints(azimuth_deg, 0.0, np.random.default_rng(5))


def n_magenta(picture):
    r, g, b = picture.astype(int).transpose(2, 0, 1)
    return int(((r - g > 80) & (b - g > 80)).sum())


@pytest.mark.parametrize("infrared", [False, True])
def test_a_picture_depends_on_nothing_but_its_arguments(infrared):
    def shot():
        camera = Camera.sample(3, 1)
        return render_shot(Identity.sample(3, 7), camera, 11, infrared=infrared)

    first = shot()
    render_shot(Identity.sample(3, 8), Camera.sample(3, 0), 11)
    np.random.default_rng().random()
    again = shot()
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.keypoints, again.keypoints)


def test_another_process_draws_the_same_bytes():
    code = (
        "import hashlib; from pose2id.renderer import *;"
        "shot = render_shot(Identity.sample(3, 7), Camera.sample(3, 1), 11);"
        "print(hashlib.sha256(shot.image.tobytes() + shot.keypoints.tobytes()).hexdigest())"
    )
    environments = ({**os.environ, "PYTHONHASHSEED": seed} for seed in ("1", "2"))
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True
        ).stdout
        for env in environments
    }
    assert len(digests) == 1


def test_standard_joints_are_the_standard_poses_with_depth():
    known = STANDARD_POSES[..., 2] > 0
    assert STANDARD_JOINTS.shape == (8, 18, 3)
    assert STANDARD_JOINTS.dtype == np.float32
    assert np.array_equal(STANDARD_JOINTS[..., :2][known], STANDARD_POSES[..., :2][known])
    # The third pose walks to the right, so its right shoulder is nearer; the fifth looks away.
    assert STANDARD_JOINTS[2, 2, 2] > STANDARD_JOINTS[2, 5, 2]
    assert STANDARD_JOINTS[4, 0, 2] < 0


def test_walkers_look_where_their_azimuth_says():
    nose, neck, right, left = 0, 1, 2, 5
    front, side, back = joints_at(0), joints_at(90), joints_at(180)
    assert front[left, 0] > front[right, 0]
    assert front[nose, 2] > front[neck, 2]
    assert back[left, 0] < back[right, 0]
    assert back[nose, 2] < back[neck, 2]
    assert side[nose, 0] > side[neck, 0]
    assert side[right, 2] > side[left, 2]


@pytest.mark.parametrize("pose", range(8))
def test_the_body_is_where_the_joints_are(pose):
    joints = STANDARD_JOINTS[pose]
    trunk_and_limbs = [*range(1, 14)]
    inside = [k for k in trunk_and_limbs if 0 <= joints[k, 0] < 1 and 0 <= joints[k, 1] < 1]
    for index in range(6):
        mask = studio_mask(Identity.sample(1, index), joints)
        rows, cols = (joints[inside, 1] * 128).astype(int), (joints[inside, 0] * 64).astype(int)
        assert mask[rows, cols].all()
        assert 0.1 < mask.mean() < 0.5


def test_the_studio_shows_the_person_on_plain_ground():
    identity, joints = Identity.sample(1, 2), STANDARD_JOINTS[1]
    picture, mask = render_studio(identity, joints), studio_mask(identity, joints)
    assert picture.shape == (128, 64, 3)
    assert picture.dtype == np.uint8
    far = ~mask
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        far &= ~np.roll(mask, step, axis)
    assert (picture[far] == STUDIO_GROUND).mean() > 0.99
    assert (np.abs(picture[mask].astype(int) - STUDIO_GROUND).max(1) > 8).mean() > 0.85


def test_sizes_are_free_and_show_the_same_person():
    identity = Identity.sample(1, 3)
    small = render_studio(identity, STANDARD_JOINTS[0], 64, 32).astype(float)
    large = render_studio(identity, STANDARD_JOINTS[0], 256, 128).astype(float)
    reduced = large.reshape(64, 4, 32, 4, 3).mean((1, 3))
    assert np.abs(small - reduced).mean() < 4


def test_a_print_is_on_the_chest_and_not_on_the_back():
    person = Identity.sample(1, 0)
    cloth = replace(person.upper, pattern="print", accent=MAGENTA, shape=0.1)
    person = replace(person, upper=cloth, sleeve="none", bag="none", hair_style="short")
    front = n_magenta(render_studio(person, joints_at(0)))
    side = n_magenta(render_studio(person, joints_at(80)))
    back = n_magenta(render_studio(person, joints_at(180)))
    assert front > side > back == 0


def test_a_backpack_is_seen_from_behind_and_its_straps_from_the_front():
    person = replace(Identity.sample(1, 0), bag="backpack", bag_cloth=MAGENTA)
    front, back = (n_magenta(render_studio(person, joints_at(a))) for a in (0, 180))
    assert back > 2 * front > 0


def test_a_handbag_is_on_one_side():
    person = replace(Identity.sample(1, 0), bag="handbag", bag_cloth=MAGENTA, bag_side=1)
    # Walking to the right the right side is near, so the body hides part of a bag on the left.
    near, far = (n_magenta(render_studio(person, joints_at(a))) for a in (-90, 90))
    assert near > 1.2 * far


def test_a_face_is_seen_from_the_front_only():
    person = replace(Identity.sample(1, 0), hair_style="short", hair=MAGENTA, beard=False)
    front, back = (n_magenta(render_studio(person, joints_at(a))) for a in (0, 180))
    assert back > 1.5 * front


def test_infrared_is_grey_and_does_not_follow_brightness():
    shot = render_shot(Identity.sample(1, 0), Camera.sample(1, 0), 0, infrared=True).image
    studio = render_studio(Identity.sample(1, 0), STANDARD_JOINTS[0], infrared=True)
    assert np.ptp(shot, axis=2).max() == 0
    assert np.ptp(studio, axis=2).max() == 0
    clothes = [Identity.sample(1, index).upper.base for index in range(300)]
    brightness = [np.mean(material.color) for material in clothes]
    infrared = [material.infrared for material in clothes]
    assert abs(np.corrcoef(brightness, infrared)[0, 1]) < 0.2


def test_people_vary_in_all_that_they_can_vary_in():
    people = [Identity.sample(2, index) for index in range(300)]
    assert {person.hair_style for person in people} >= {"bald", "long", "ponytail", "cap", "scarf"}
    assert {person.lower_kind for person in people} >= {"trousers", "shorts", "skirt", "leggings"}
    assert {person.upper.pattern for person in people} >= {"solid", "stripes", "print", "two_tone"}
    assert {person.sleeve for person in people} == {"none", "short", "long"}
    assert {person.bag for person in people} == {"none", "backpack", "handbag", "shoulder"}
    assert len({person.upper.base.color for person in people}) == 300
    studio = [render_studio(person, STANDARD_JOINTS[0]).astype(int) for person in people[:40]]
    distances = [np.abs(studio[i] - studio[j]).mean() for i in range(40) for j in range(i + 1, 40)]
    assert min(distances) > 2


def test_cameras_change_colours_and_places():
    person = replace(Identity.sample(1, 0), bag="none")
    means = []
    for number in range(6):
        shots = [render_shot(person, Camera.sample(1, number), k).image for k in range(6)]
        means.append(np.mean(shots, axis=(0, 1, 2)))
    assert np.ptp(means, axis=0).max() > 40


def test_keypoints_are_hidden_where_something_stands_in_front_or_the_picture_ends():
    cameras = [Camera.sample(1, number) for number in range(3)]
    hidden_inside = []
    for index in range(40):
        for camera in cameras:
            shot = render_shot(Identity.sample(1, index), camera, 0, 64, 32)
            xy, confidence = shot.keypoints[:, :2], shot.keypoints[:, 2]
            inside = ((xy >= 0) & (xy < 1)).all(1)
            assert set(np.unique(confidence)) <= {0.0, 1.0}
            assert not confidence[~inside].any()
            hidden_inside.append((confidence[inside] == 0).any())
    assert 0.05 < np.mean(hidden_inside) < 0.3


def test_a_street_is_dressed_darker_below_and_seen_sharper():
    plain, street = (
        [Identity.sample(2, index, look) for index in range(300)] for look in ("plain", "street")
    )
    brightness = [
        np.mean([np.mean(person.lower.base.color) for person in people])
        for people in (plain, street)
    ]
    assert brightness[1] < 0.8 * brightness[0]
    assert {person.upper.pattern for person in street} >= {"plaid", "print", "open"}
    assert 3 <= sum(person.umbrella for person in street) <= 30
    assert not any(person.umbrella for person in plain)
    blur, motion = (
        [
            np.mean([getattr(Camera.sample(2, index, look), name) for index in range(100)])
            for look in ("plain", "street")
        ]
        for name in ("blur_px", "motion_px")
    )
    assert blur[1] < blur[0]
    assert motion[0] == 0 < motion[1]


def test_the_street_keeps_who_somebody_is():
    for index in range(20):
        plain, street = Identity.sample(2, index), Identity.sample(2, index, "street")
        assert (plain.skin, plain.build, plain.height) == (street.skin, street.build, street.height)
        assert street.look == "street"


@pytest.mark.parametrize(
    "change", [{"motion_px": 30.0}, {"resolution": 0.2}, {"sharpening": 2.0}, {"bad_crops": 1.0}]
)
def test_what_a_camera_can_do_wrong_is_seen(change):
    person, camera = Identity.sample(2, 3), replace(Camera.sample(2, 0), crowd=0.01)
    right, wrong = (
        render_shot(person, each, 5).image.astype(int)
        for each in (camera, replace(camera, **change))
    )
    assert np.abs(right - wrong).mean() > 1


def test_plaid_shows_both_colours_and_their_mean():
    person = Identity.sample(2, 0)
    white, black = Material((240.0,) * 3, 128.0), Material((0.0,) * 3, 128.0)
    cloth = replace(person.upper, pattern="plaid", base=white, accent=black, shape=0.5, folds=0.0)
    around, along = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(0, 1, 40))
    paint = garment_paint(cloth, lambda m: np.array(m.color, np.float32), 0.1, 0.3)
    found = paint(around.ravel().astype(np.float32), along.ravel().astype(np.float32))
    assert set(np.unique(found)) == {0.0, 120.0, 240.0}


def test_an_umbrella_covers_the_head():
    person = replace(Identity.sample(1, 0), headwear=MAGENTA, hair_style="short")
    without, under = (
        n_magenta(render_studio(replace(person, umbrella=each), joints_at(0)))
        for each in (False, True)
    )
    assert without == 0
    assert under > 200
