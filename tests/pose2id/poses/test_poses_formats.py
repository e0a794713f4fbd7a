"""Key point formats, representative poses and the pose network."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pose2id.errors import DataError, MissingDependencyError, WeightsError
from pose2id.poses.estimators import SHIPPED, BlazePoseEstimator
from pose2id.poses.formats import FORMATS, to_openpose18
from pose2id.poses.representative import representative_poses
from pose2id.poses.skeleton import JOINT_NAMES
from pose2id.poses.standard import STANDARD_POSES
from pose2id.renderer import Camera, Identity, render_shot
from tests.conftest import ROOT

SHARED = Path(__file__).parents[4] / "shared"
BLAZEPOSE = SHARED / "models/pose/pose_landmark_full.tflite"
CUHK03 = SHARED / "data/cuhk03-100"

# The published joint lists of each format; "" where OpenPose-18 has no such joint.
NAMES = {
    "coco17": """nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow
        right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle
        right_ankle""",
    "body25": """nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow
        left_wrist middle_hip right_hip right_knee right_ankle left_hip left_knee left_ankle
        right_eye left_eye right_ear left_ear left_big_toe left_small_toe left_heel right_big_toe
        right_small_toe right_heel""",
    "blazepose33": """nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye
        right_eye_outer left_ear right_ear mouth_left mouth_right left_shoulder right_shoulder
        left_elbow right_elbow left_wrist right_wrist left_pinky right_pinky left_index right_index
        left_thumb right_thumb left_hip right_hip left_knee right_knee left_ankle right_ankle
        left_heel right_heel left_foot_index right_foot_index""",
    "openpose18": " ".join(JOINT_NAMES),
}


@pytest.mark.parametrize("source", FORMATS)
def test_every_joint_arrives_under_its_name(source):
    names = NAMES[source].split()
    keypoints = np.array([[number, 100 + number, 0.9] for number in range(len(names))])
    converted = to_openpose18(keypoints, source)
    assert converted.dtype == np.float32
    for joint, name in enumerate(JOINT_NAMES):
        if name in names:
            number = names.index(name)
            assert converted[joint].tolist() == pytest.approx([number, 100 + number, 0.9])
        else:
            assert name == "neck"
            shoulders = [names.index("left_shoulder"), names.index("right_shoulder")]
            assert converted[joint, 0] == np.mean(shoulders)


def test_unsure_shoulder_makes_an_unsure_neck():
    person = np.ones((2, 5, 17, 3))
    person[..., 6, 2] = 0.0
    converted = to_openpose18(person, "coco17")
    assert converted.shape == (2, 5, 18, 3)
    assert (converted[..., 1, 2] == 0).all()


def test_wrong_format_or_shape_is_explained():
    with pytest.raises(DataError, match=r"'coco'.*coco17"):
        to_openpose18(np.ones((17, 3)), "coco")
    with pytest.raises(DataError, match=r"\(\.\.\., 17, 3\).*\(18, 3\)"):
        to_openpose18(np.ones((18, 3)), "coco17")


def _crowd():
    """40 variants of the standard poses 1, 2 and 5: moved, scaled and shaken a little."""
    rng = np.random.default_rng(0)
    poses, origin = [], []
    for number, count in ((0, 20), (1, 12), (4, 8)):
        for _ in range(count):
            pose = STANDARD_POSES[number].copy()
            pose[:, :2] = pose[:, :2] * rng.uniform(0.6, 0.9) + rng.uniform(0, 0.1, 2)
            pose[:, :2] += rng.normal(0, 0.002, (18, 2))
            poses.append(pose)
            origin.append(number)
    order = rng.permutation(len(poses))
    return np.stack(poses)[order].astype(np.float32), np.array(origin)[order]


def test_representative_poses_are_one_of_each_kind_the_most_frequent_first():
    keypoints, origin = _crowd()
    poses, rows = representative_poses(keypoints, 3, seed=0)
    assert origin[rows].tolist() == [0, 1, 4]
    assert np.array_equal(poses, keypoints[rows])
    again = representative_poses(keypoints, 3, seed=0)[1]
    assert again.tolist() == rows.tolist()


def test_incomplete_poses_are_not_chosen_and_unsure_joints_are_left_out():
    keypoints, _ = _crowd()
    keypoints[:30, 8, 2] = 0.1  # no right hip
    keypoints[30:, 4] = (9.0, 9.0, 0.2)  # a wild, unsure wrist
    poses, rows = representative_poses(keypoints, 2, seed=0)
    assert (rows >= 30).all()
    assert (poses[:, 4] == 0).all()
    with pytest.raises(DataError, match="10 of 40 are complete"):
        representative_poses(keypoints, 11, seed=0)
    with pytest.raises(DataError, match="OpenPose-18"):
        representative_poses(keypoints[:, :17], 2, seed=0)


def test_missing_pose_network_or_runtime_is_explained(tmp_path, monkeypatch):
    pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")
    with pytest.raises(WeightsError, match="there is no pose network"):
        BlazePoseEstimator(tmp_path / "gone.tflite")
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"not a network")
    with pytest.raises(WeightsError, match="not a readable TFLite"):
        BlazePoseEstimator(broken)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependencyError, match=r"pose2id\[openvino\]"):
        BlazePoseEstimator(broken)


def test_threads_that_share_a_pose_network_get_their_own_pictures_key_points():
    pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")
    camera = Camera.sample(9100, 0)
    shots = [render_shot(Identity.sample(9100, n), camera, n, 128, 64) for n in range(16)]
    pictures = [Image.fromarray(shot.image) for shot in shots]
    estimator = BlazePoseEstimator(ROOT / SHIPPED)
    alone = estimator(pictures)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda picture: estimator([picture])[0], pictures))
    assert np.array_equal(alone, np.stack(together))


@pytest.mark.skipif(
    not (BLAZEPOSE.is_file() and CUHK03.is_dir()), reason="the pose network is not here (../shared)"
)
def test_pose_network_finds_real_persons_upright():
    pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")
    paths = sorted((CUHK03 / "query").glob("*.jpg"))[:8]
    estimator = BlazePoseEstimator(BLAZEPOSE)
    keypoints = estimator([Image.open(path).convert("RGB") for path in paths])
    assert keypoints.shape == (8, 18, 3)
    x, y, confidence = np.moveaxis(np.median(keypoints, axis=0), -1, 0)
    assert confidence[[1, 2, 5, 8, 11]].min() > 0.9
    head, neck, hip, knee, ankle = (
        y[JOINT_NAMES.index(n)] for n in ("nose", "neck", "left_hip", "left_knee", "left_ankle")
    )
    assert 0 < head < neck < hip < knee < ankle < 1
    assert ((x > 0.1) & (x < 0.9)).all()
    assert estimator([]).shape == (0, 18, 3)
