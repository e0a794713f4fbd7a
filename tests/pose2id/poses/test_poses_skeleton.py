"""The drawing of skeletons, and the standard poses against the official pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pose2id.errors import DataError
from pose2id.poses.skeleton import COLOURS, LIMBS, N_JOINTS, draw_skeleton
from pose2id.poses.standard import STANDARD_POSES

OFFICIAL = Path(__file__).parents[4] / "shared/data/pose2id/standard_poses"


def _as_jpeg(picture):
    """The picture after the compression of the official files (quality 95, chroma halved)."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=95, subsampling="4:2:0")
    return np.asarray(Image.open(buffer).convert("RGB"), dtype=np.float64)


def _one_limb(a, b, **joints):
    keypoints = np.zeros((N_JOINTS, 3), np.float32)
    keypoints[a] = joints["start"]
    keypoints[b] = joints["end"]
    return keypoints


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official pictures are not here (../shared)")
@pytest.mark.parametrize("number", range(1, 9))
def test_standard_pose_redraws_the_official_picture(number):
    official = np.asarray(Image.open(OFFICIAL / f"{number}.jpg").convert("RGB"), dtype=np.float64)
    ours = draw_skeleton(STANDARD_POSES[number - 1], 128, 64)
    assert np.abs(_as_jpeg(ours) - official).mean() < 0.01
    assert np.abs(ours - official).mean() < 4.5  # the JPEG artefacts alone
    assert np.corrcoef(ours.ravel(), official.ravel())[0, 1] > 0.955


def test_standard_poses_are_eight_within_the_picture_and_read_only():
    assert STANDARD_POSES.shape == (8, 18, 3)
    assert STANDARD_POSES.dtype == np.float32
    assert ((STANDARD_POSES >= 0) & (STANDARD_POSES <= 1)).all()
    missing = np.argwhere(STANDARD_POSES[:, :, 2] == 0).tolist()
    assert missing == [[2, 7], [5, 4]]
    with pytest.raises(ValueError, match="read-only"):
        STANDARD_POSES[0, 0, 0] = 0.5


def test_limb_is_dimmed_and_its_discs_are_not():
    right_arm = _one_limb(2, 3, start=(0.5, 0.25, 1), end=(0.5, 0.75, 1))
    picture = draw_skeleton(right_arm, 128, 64)
    limb = LIMBS.index((2, 3))
    assert picture[64, 32].tolist() == [int(0.6 * c) for c in COLOURS[limb]]
    assert picture[32, 32].tolist() == list(COLOURS[2])
    assert picture[96, 34].tolist() == list(COLOURS[3])  # the disc reaches 2 px
    assert picture[96, 35].tolist() == [0, 0, 0]


def test_missing_joint_takes_its_limbs_along():
    full = draw_skeleton(_one_limb(2, 3, start=(0.5, 0.2, 1), end=(0.5, 0.8, 1)), 128, 64)
    half = draw_skeleton(_one_limb(2, 3, start=(0.5, 0.2, 1), end=(0.5, 0.8, 0)), 128, 64)
    assert full[64].any()
    assert not half[64].any()
    assert half[25].any()


def test_nothing_seen_is_black():
    nothing = np.full((N_JOINTS, 3), np.nan, np.float32)
    nothing[:, 2] = 0
    assert not draw_skeleton(nothing, 128, 64).any()


def test_joints_outside_are_clipped():
    picture = draw_skeleton(_one_limb(2, 3, start=(-0.5, 0.5, 1), end=(1.5, 0.5, 1)), 128, 64)
    assert picture[64].any(axis=1).all()


def test_strokes_grow_with_the_picture():
    small, large = (draw_skeleton(STANDARD_POSES[0], h, h // 2) > 0 for h in (128, 512))
    assert large.any(axis=2).mean() == pytest.approx(small.any(axis=2).mean(), rel=0.25)


def test_wrong_shape_names_what_is_wanted():
    with pytest.raises(DataError, match=r"\(18, 3\).*\(17, 3\)"):
        draw_skeleton(np.zeros((17, 3), np.float32), 128, 64)


def test_nan_joint_that_counts_is_refused():
    keypoints = STANDARD_POSES[0].copy()
    keypoints[3, 0] = np.nan
    with pytest.raises(DataError, match="finite"):
        draw_skeleton(keypoints, 128, 64)
