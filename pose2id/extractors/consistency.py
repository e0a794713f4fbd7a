"""What a network must do before it is given work: the same picture, the same feature, always."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pose2id.errors import WeightsError
from pose2id.extractors.base import Extractor, InputSpec

N_PROBES: Final = 3
# Networks in evaluation mode stay above 0.99999 between batch shapes, those in training mode far
# below this.
MIN_COSINE: Final = 0.999


def probe_pictures(spec: InputSpec, count: int = N_PROBES) -> NDArray[np.uint8]:
    """Pictures that differ strongly: soft colours with noise, the same for everyone.

    Args:
        spec: Their size.
        count: How many.

    Returns:
        `(count, height_px, width_px, 3) uint8`.

    Example:
        >>> probe_pictures(InputSpec(4, 2)).shape
        (3, 4, 2, 3)
    """
    seed = hashlib.sha256(f"probe/{spec.height_px}/{spec.width_px}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(seed[:8], "little"))
    down = np.linspace(0, 1, spec.height_px)[:, None, None]
    pictures = []
    for _ in range(count):
        top, bottom = rng.uniform(20, 235, (2, 3))
        noise = rng.normal(0, 20, (spec.height_px, spec.width_px, 3))
        pictures.append(np.clip(top + (bottom - top) * down + noise, 0, 255))
    return np.stack(pictures).astype(np.uint8)


def features_of(extractor: Extractor, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Features of pictures in one batch, as of the first camera or modality.

    Args:
        extractor: The network.
        pictures: `(B, H, W, 3) uint8`.

    Returns:
        `(B, D) float32`.
    """
    if extractor.side == "none":
        return extractor(pictures)
    return extractor(pictures, np.zeros(len(pictures), dtype=np.int64))


def alone_and_together(
    extractor: Extractor, pictures: NDArray[np.uint8], batch_size: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Features of each picture by itself, and of all of them in batches.

    Args:
        extractor: The network.
        pictures: `(N, H, W, 3) uint8`.
        batch_size: Pictures that may be in one batch.

    Returns:
        Two `(N, D) float32`.

    Raises:
        WeightsError: Several pictures at once fail where one does not.
    """
    alone = np.concatenate([features_of(extractor, picture[None]) for picture in pictures])
    if batch_size == 1:
        return alone, alone
    try:
        starts = range(0, len(pictures), batch_size)
        parts = [features_of(extractor, pictures[s : s + batch_size]) for s in starts]
    except WeightsError as error:
        raise WeightsError(
            f"{extractor.name} takes one picture at a time but fails on {len(pictures)} at once: "
            "its batch was frozen when it was exported. Set features.batch_size to 1, or export it "
            f"with a batch of any size. It said: {str(error)[:300]}"
        ) from error
    return alone, np.concatenate(parts)


def cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosine of each pair of rows, 0 where one of them is zero.

    Args:
        left: `(N, D)`.
        right: `(N, D)`.

    Returns:
        `(N,)`.

    Example:
        >>> cosines(np.ones((1, 2), np.float32), np.ones((1, 2), np.float32)).round(6).tolist()
        [1.0]
    """
    a, b = left.astype(np.float64), right.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    products: NDArray[np.float64] = np.einsum("nd,nd->n", a, b)
    found: NDArray[np.float64] = np.divide(
        products, lengths, out=np.zeros(len(a)), where=lengths > 0
    )
    return found


def check_consistency(extractor: Extractor, batch_size: int) -> None:
    """Refuses a network whose features cannot be used, on three pictures.

    Args:
        extractor: The network.
        batch_size: Pictures per batch in the run to come.

    Raises:
        WeightsError: A feature is NaN, zero or the same for every picture, depends on the other
            pictures of its batch, or several pictures at once fail.
    """
    pictures = probe_pictures(extractor.input_spec)
    alone, together = alone_and_together(extractor, pictures, batch_size)
    # A network in training mode may give zeros for a picture that has no company.
    if problem := feature_problem(together):
        raise WeightsError(f"{extractor.name} gives {problem}")
    lowest = float(cosines(alone, together).min())
    if not lowest >= MIN_COSINE:
        raise WeightsError(f"{extractor.name}: {influence(lowest)}")


def influence(cosine: float) -> str:
    """The sentence about a network whose rows influence each other."""
    return (
        f"a picture's feature depends on the other pictures of its batch (cosine {cosine:.4f} "
        "between alone and in company): the network was exported in training mode. Call "
        "network.eval() and export it again"
    )


def feature_problem(features: NDArray[np.float32]) -> str | None:
    """What makes features of different pictures useless, or None.

    Args:
        features: `(N, D)` of N different pictures.

    Returns:
        A sentence's end.

    Example:
        >>> feature_problem(np.zeros((2, 4), np.float32))[:19]
        'features of zeros f'
    """
    if not np.isfinite(features).all():
        return (
            "NaN or infinite features for ordinary pictures: its weights are damaged, or "
            "features.input (max_value, mean, std) is not what it was trained with"
        )
    if not features.any():
        return "features of zeros for ordinary pictures: name another output with features.output"
    if len(features) > 1 and (features == features[0]).all():
        return (
            "the same feature for different pictures: name another output with features.output, "
            "or check features.input"
        )
    return None
