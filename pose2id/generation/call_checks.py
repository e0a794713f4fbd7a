"""What every generator checks and pads in the same way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pose2id.errors import DataError


def check_call(
    references: Sequence[Image.Image],
    keypoints: NDArray[np.float32],
    noise_seeds: NDArray[np.uint64],
    batch_size: int,
) -> None:
    """Refuses arguments of a generator whose shapes do not fit together.

    Args:
        references: The pictures.
        keypoints: Has to be `(P, 18, 3)`.
        noise_seeds: Has to be `(len(references), P)`.
        batch_size: Most references of one call.

    Raises:
        DataError: The message says which shape was given and which is needed.
    """
    if not 1 <= len(references) <= batch_size:
        raise DataError(
            f"got {len(references)} references; a call takes 1 to {batch_size} "
            "(batch_size). Split them into batches."
        )
    if keypoints.ndim != 3 or keypoints.shape[1:] != (18, 3) or len(keypoints) == 0:
        raise DataError(
            f"key points have shape {keypoints.shape}; (P, 18, 3) with P >= 1 is needed."
        )
    if noise_seeds.shape != (len(references), len(keypoints)):
        raise DataError(
            f"noise_seeds has shape {noise_seeds.shape}; one per reference and pose is needed: "
            f"{(len(references), len(keypoints))}."
        )


def padding(n_references: int, batch_size: int) -> NDArray[np.intp]:
    """Which reference fills each place of a full batch: the last one repeats.

    >>> padding(2, 4).tolist()
    [0, 1, 1, 1]
    """
    return np.minimum(np.arange(batch_size), n_references - 1)
