from __future__ import annotations

import numpy as np
import pytest

from pose2id.poses.body_mask import body_mask, person_height
from pose2id.poses.standard import STANDARD_POSES
from pose2id.renderer import STANDARD_JOINTS, Identity, studio_mask


@pytest.mark.parametrize("pose", range(8))
def test_the_mask_covers_most_of_a_rendered_body_and_little_else(pose):
    joints = STANDARD_JOINTS[pose].copy()
    joints[:, 2] = 1.0
    mask = body_mask(joints, 128, 64)
    body = studio_mask(Identity.sample(9300, pose), STANDARD_JOINTS[pose])
    assert mask is not None
    found = mask >= 0.5
    assert (found & body).sum() / body.sum() > 0.75
    assert (found & body).sum() / found.sum() > 0.6


def test_people_who_are_hardly_seen_have_no_mask():
    pose = STANDARD_POSES[0].copy()
    assert person_height(pose) == pytest.approx(0.9, abs=0.15)
    pose[[10, 13], 2] = 0.0
    assert person_height(pose) is None
    assert body_mask(pose, 64, 32) is None
    tiny = STANDARD_POSES[0] * np.array([0.2, 0.2, 1.0], np.float32)
    assert body_mask(tiny, 64, 32) is None
