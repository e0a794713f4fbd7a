"""Measures of pictures and features, each a pure function that gives a number per row.

Thresholds are not decided here: a measure says how much, a quality gate says how much is enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMBNAIL_PX = (16, 32)  # width, height
# A dimension whose spread is below this part of the largest spread says nothing about anybody.
COLLAPSED_BELOW = 1e-6
PCK_REACH = 0.1  # of a person's longer side
SEEN_FROM = 0.5  # probability of a key point


def grey_levels(picture: Image.Image) -> NDArray[np.uint8]:
    """The luma of an RGB picture, `(H, W) uint8`."""
    return np.asarray(picture.convert("L"))


def pixel_std(grey: NDArray[np.uint8]) -> float:
    """Standard deviation of the grey levels of a picture, 0 for a blank one.

    Args:
        grey: `(H, W) uint8`.

    Returns:
        A value in [0, 127.5].

    Example:
        >>> pixel_std(np.array([[0, 255], [255, 0]], np.uint8))
        127.5
    """
    return float(np.std(grey, dtype=np.float64))


def thumbnail(picture: Image.Image) -> NDArray[np.uint8]:
    """A picture averaged down to 16x32 px, grey: what is left is where the person is.

    Returns:
        `(32, 16) uint8`.
    """
    return np.asarray(picture.convert("L").resize(THUMBNAIL_PX, Image.Resampling.BOX))


def pose_differences(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much each picture of a person differs from the most similar one before it.

    Only earlier pictures count, so that of several equal pictures the first one stays good.

    Args:
        thumbnails: `(P, H, W) uint8`, the pictures of one person in P poses.

    Returns:
        `(P,) float32`: mean absolute difference in grey levels, NaN for the first picture.

    Example:
        >>> boards = np.array([[[0, 0]], [[0, 9]], [[0, 9]]], np.uint8)
        >>> pose_differences(boards).tolist()
        [nan, 4.5, 0.0]
    """
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.int16)  # (P, H*W)
    smallest = np.full(len(flat), np.nan, np.float32)
    for row in range(1, len(flat)):
        smallest[row] = np.abs(flat[:row] - flat[row]).mean(axis=1).min()
    return smallest


def pose_pck(
    found: NDArray[np.float32], asked: NDArray[np.float32], width_px: int, height_px: int
) -> NDArray[np.float32]:
    """PCK@0.1: the share of the key points asked for that are where they should be.

    A key point counts where it is seen, with a probability of at least one half, and lies within a
    tenth of the longer side of the box around the pose asked for.

    Args:
        found: `(N, 18, 3) float32` key points of pictures: x and y in fractions of width and
            height, and the probability that the joint is there and seen.
        asked: `(N, 18, 3) float32`, the poses of these pictures; confidence 0 = not in the pose.
        width_px: Width of the pictures.
        height_px: Height of the pictures.

    Returns:
        `(N,) float32` in [0, 1], NaN where a pose has no key points.

    Example:
        >>> asked = np.zeros((1, 18, 3), np.float32)
        >>> asked[0, :4] = [(0.5, 0.0, 1), (0.5, 1.0, 1), (0.2, 0.5, 1), (0.8, 0.5, 1)]
        >>> found = asked + np.float32([0.0, 0.05, 0.0])
        >>> found[0, 2, 0], found[0, 3, 2] = 0.9, 0.4  # one far away, one unseen
        >>> pose_pck(found, asked, 64, 128).tolist()
        [0.5]

    Source: Yang and Ramanan, Articulated Human Detection with Flexible Mixtures of Parts, 2013.
    """
    wanted = asked[:, :, 2] > 0  # (N, 18)
    size_px = np.array([width_px, height_px])
    xy = asked[:, :, :2] * size_px
    highest = np.where(wanted[:, :, None], xy, -np.inf).max(axis=1)  # (N, 2)
    lowest = np.where(wanted[:, :, None], xy, np.inf).min(axis=1)
    reach = PCK_REACH * (highest - lowest).max(axis=1)  # (N,)
    distance = np.linalg.norm(found[:, :, :2] * size_px - xy, axis=2)
    right = wanted & (found[:, :, 2] >= SEEN_FROM) & (distance <= reach[:, None])
    with np.errstate(invalid="ignore"):
        share: NDArray[np.float64] = right.sum(axis=1) / wanted.sum(axis=1)
    return share.astype(np.float32)


def cosine_similarity(
    rows: NDArray[np.float32], others: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Cosine of the angle between row i of one matrix and row i of the other.

    Args:
        rows: `(N, D) float32`.
        others: `(N, D) float32`.

    Returns:
        `(N,) float32` in [-1, 1], NaN where one of the two is zero or not finite.

    Example:
        >>> a = np.array([[3, 0], [1, 1], [0, 0]], np.float32)
        >>> cosine_similarity(a, np.array([[1, 0], [-1, -1], [1, 0]], np.float32)).round(6).tolist()
        [1.0, -1.0, nan]
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        dot = np.einsum("nd,nd->n", rows, others, dtype=np.float64)
        cosine = dot / (row_norms(rows) * row_norms(others))
    return np.where(np.isfinite(cosine), np.clip(cosine, -1.0, 1.0), np.nan).astype(np.float32)


def row_norms(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Length of each row of `(N, D) float32`, `(N,) float64`; NaN or infinity where one is in it.

    >>> row_norms(np.array([[3, 4], [0, 0]], np.float32)).tolist()
    [5.0, 0.0]
    """
    with np.errstate(invalid="ignore"):
        squares: NDArray[np.float64] = np.einsum("nd,nd->n", rows, rows, dtype=np.float64)
    return np.sqrt(squares)


@dataclass(frozen=True, slots=True)
class FeatureStatistics:
    """Centre and spread of a set of features, joinable with those of another set.

    Attributes:
        n_rows: Number of features.
        mean: `(D,) float64`.
        squares: `(D,) float64`, sums of the squared distances to the mean.
    """

    n_rows: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.float32]) -> FeatureStatistics:
        """Statistics of `(N, D) float32`; rows that are not finite are left out."""
        rows = features[np.isfinite(features).all(axis=1)].astype(np.float64)
        if not len(rows):
            zeros = np.zeros(features.shape[1])
            return cls(0, zeros, zeros)
        mean = rows.mean(axis=0)
        return cls(len(rows), mean, np.square(rows - mean).sum(axis=0))

    def join(self, other: FeatureStatistics) -> FeatureStatistics:
        """Statistics of both sets together (Chan, Golub, LeVeque 1983: pairwise update)."""
        n = self.n_rows + other.n_rows
        if not n:
            return self
        delta = other.mean - self.mean
        return FeatureStatistics(
            n,
            self.mean + delta * (other.n_rows / n),
            self.squares + other.squares + np.square(delta) * (self.n_rows * other.n_rows / n),
        )

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation of each dimension, `(D,) float64`; zeros without rows."""
        return np.sqrt(self.squares / max(self.n_rows, 1))

    def relative_spread(self) -> NDArray[np.float64]:
        """Standard deviation of each dimension as a part of the largest, `(D,)` in [0, 1]."""
        std = self.std
        largest = std.max(initial=0.0)
        return std / largest if largest > 0 else std


def feature_drift(now: FeatureStatistics, before: FeatureStatistics) -> float:
    """How far a set of features has moved or spread since an earlier one.

    The larger one of two numbers: the distance of the centres in units of the earlier spread,
    less what chance alone gives samples of these sizes; and the absolute log ratio of the spreads.

    Args:
        now: Statistics of the present features.
        before: Statistics of the earlier ones, of the same dimension.

    Returns:
        0 for no drift; 0.5 for centres half a spread apart or spreads 65 % apart; infinity when
        the earlier features had no spread and the present ones differ.

    Example:
        >>> rows = np.array([[0.0], [2.0]] * 500, np.float32)
        >>> before = FeatureStatistics.of(rows)
        >>> feature_drift(before, before), round(feature_drift(FeatureStatistics.of(rows + 1),
        ...     before), 2)
        (0.0, 1.0)
    """
    spread_now = float(now.squares.sum()) / max(now.n_rows, 1)
    spread_before = float(before.squares.sum()) / max(before.n_rows, 1)
    distance = float(np.square(now.mean - before.mean).sum())
    if spread_before == 0 or spread_now == 0:
        return 0.0 if distance == 0 and spread_now == spread_before else float("inf")
    by_chance = 1 / now.n_rows + 1 / before.n_rows
    shift = np.sqrt(max(0.0, distance / spread_before - by_chance))
    return float(max(shift, abs(np.log(spread_now / spread_before)) / 2))
