import copy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pose2id.generation.config import (
    IdentityConfig,
    IpgConfig,
    SkeletonConfig,
    UNetConfig,
    VaeConfig,
)
from pose2id.generation.model import IpgModel
from tests.tiny import TINY_CONFIG, make_tiny_model

OFFICIAL = Path(__file__).parents[4] / "shared" / "fixtures" / "official"


@pytest.fixture(scope="session")
def official() -> Path:
    if not OFFICIAL.is_dir():
        pytest.skip("the official outputs (../shared/fixtures/official) are not on this machine")
    return OFFICIAL


@pytest.fixture(scope="session")
def official_tiny_config() -> IpgConfig:
    return IpgConfig(
        height_px=256,
        width_px=128,
        unet=UNetConfig(channels=(16, 24, 32, 32), norm_groups=8, heads=4, cross_attention_dim=40),
        vae=VaeConfig(channels=(16, 16, 24, 24), norm_groups=8),
        identity=IdentityConfig(embed_dim=48, depth=3, heads=4),
        skeleton=SkeletonConfig(channel_order="bgr"),
    )


@pytest.fixture(scope="session")
def config() -> IpgConfig:
    """16x16 px pictures, 8x8 latents."""
    return TINY_CONFIG


@pytest.fixture(scope="session")
def _model() -> IpgModel:
    return make_tiny_model()


@pytest.fixture
def model(_model: IpgModel) -> IpgModel:
    """Seeded random weights, a copy for each test."""
    return copy.deepcopy(_model)


@pytest.fixture
def references() -> list[Image.Image]:
    rng = np.random.default_rng(1)
    sizes = [(16, 16), (64, 128), (9, 30), (20, 20), (16, 32)]
    return [
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for width, height in sizes
    ]


@pytest.fixture
def keypoints() -> np.ndarray:
    points = np.random.default_rng(2).random((3, 18, 3)).astype(np.float32)
    points[..., 2] = 1
    return points
