"""What all feature networks share: bringing pictures to their input, and fingerprints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pose2id.errors import DataError, WeightsError
from pose2id.extractors.base import InputSpec


def resize(picture: Image.Image, spec: InputSpec) -> NDArray[np.uint8]:
    """Brings a picture to a network's size: bilinear, averaging when it shrinks (Pillow's way).

    Args:
        picture: Any size, mode `RGB`.
        spec: The network's input.

    Returns:
        `(height_px, width_px, 3) uint8` RGB.
    """
    size = (spec.width_px, spec.height_px)
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR))


def normalize(images: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """Scales and standardizes pictures, and puts channels first.

    Args:
        images: `(B, H, W, 3) uint8` RGB with H, W equal to `spec`.
        spec: The network's input.

    Returns:
        `(B, 3, H, W) float32` in the network's channel order; in memory the channels come last.

    Raises:
        DataError: Another shape or dtype.

    Example:
        >>> spec = InputSpec(1, 1, channel_order="bgr", max_value=255.0)
        >>> normalize(np.array([[[[1, 2, 3]]]], np.uint8), spec).ravel().tolist()
        [3.0, 2.0, 1.0]
    """
    expected = (spec.height_px, spec.width_px, 3)
    if images.dtype != np.uint8 or images.shape[1:] != expected:
        raise DataError(
            f"a feature network got pictures of shape {images.shape} and dtype {images.dtype}; it "
            f"needs (B, {spec.height_px}, {spec.width_px}, 3) uint8"
        )
    ordered = images if spec.channel_order == "rgb" else images[..., ::-1]
    factor = np.float32(spec.max_value / 255.0)
    scaled = np.multiply(ordered, factor, dtype=np.float32, order="C")
    lines = scaled.reshape(len(images), spec.height_px, -1)  # long rows: numpy's loops are short
    lines -= np.tile(np.array(spec.mean, dtype=np.float32), spec.width_px)
    lines /= np.tile(np.array(spec.std, dtype=np.float32), spec.width_px)
    return scaled.transpose(0, 3, 1, 2)


def fingerprint(files: Iterable[Path], spec: InputSpec, **settings: str | int) -> str:
    """Hash of what decides a feature: the contents of the weights' files and the settings.

    Args:
        files: Files of weights, in a fixed order; their names and places do not count.
        spec: The network's input.
        settings: Whatever else decides the result.

    Returns:
        Hex sha256.

    Raises:
        WeightsError: A file is missing or cannot be read.
    """
    parts = [json.dumps({"input": asdict(spec), **settings}, sort_keys=True).encode()]
    for file in files:
        try:
            with file.open("rb") as stream:
                parts.append(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise WeightsError(
                f"the weights {file} cannot be read: {error.strerror or error}"
            ) from error
    return hashlib.sha256(b"".join(parts)).hexdigest()
