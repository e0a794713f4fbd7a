"""Synthetic pedestrians: people, cameras and a Market-1501-like dataset drawn from seeds."""

from pose2id.renderer.camera import Camera
from pose2id.renderer.identity import Identity, Look
from pose2id.renderer.market import SyntheticSpec, read_keypoints, write_dataset
from pose2id.renderer.render import STUDIO_GROUND, Shot, render_shot, render_studio, studio_mask
from pose2id.renderer.skeleton import walking_joints
from pose2id.renderer.standard import STANDARD_JOINTS

__all__ = [
    "STANDARD_JOINTS",
    "STUDIO_GROUND",
    "Camera",
    "Identity",
    "Look",
    "Shot",
    "SyntheticSpec",
    "read_keypoints",
    "render_shot",
    "render_studio",
    "studio_mask",
    "walking_joints",
    "write_dataset",
]
