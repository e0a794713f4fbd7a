"""Camera bias: whether features that lie together share a camera rather than a person."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from pose2id.arrays import Array
from pose2id.features import Ints, check_features
from pose2id.labels import UNKNOWN, Labels
from pose2id.neighbors import nearest_neighbors

MAX_IMAGES: Final = 5000
_DRAWS: Final = 10  # shuffles of the cameras


@dataclass(frozen=True, slots=True)
class CameraBias:
    """How far clusters of features agree with cameras and with persons, each from 0 to 1.

    Attributes:
        camera_nmi: Normalised mutual information of clusters and cameras: the bias, lower is
            better. NaN without cameras, or with one.
        camera_nmi_by_chance: The same with the cameras shuffled among the images. Small clusters
            agree a little with any labels, so this, not 0, stands for no bias.
        identity_nmi: Normalised mutual information of clusters and persons: higher is better. NaN
            without persons, or with one.
    """

    camera_nmi: float
    camera_nmi_by_chance: float
    identity_nmi: float


def camera_bias(features: Array, labels: Labels, max_images: int = MAX_IMAGES) -> CameraBias:
    """Clusters features without labels and compares the clusters with cameras and persons.

    The figures are the paper's; its clusters are InfoMap's. Here an image joins the cluster of its
    nearest neighbour (the first partition of FINCH): without parameters, and as quick as one
    search. These clusters are smaller, so the values are comparable among features of one set of
    images, not with the paper's.

    Args:
        features: `(N, D)`, used as given: normalise first where that is meant.
        labels: Of the N images. Images of unknown camera or person, and distractors, are clustered
            and not compared.
        max_images: Of more, a sample: whole persons, in the order of a hash of their number, and
            images of unknown persons by a hash of their name.

    Returns:
        The figures.

    Raises:
        DataError: Unusable features, or another number of labels.

    Example:
        >>> near = np.array([[0.0], [0.1], [5.0], [5.1]])
        >>> found = camera_bias(near, Labels(pids=[1, 2, 1, 2], camids=[0, 0, 1, 1]))
        >>> found.camera_nmi, found.identity_nmi
        (1.0, 0.0)

    Source: Song et al., Exploring the Camera Bias of Person Re-identification, arXiv 2502.10195;
    Sarfraz et al., Efficient Parameter-free Clustering Using First Neighbor Relations, CVPR 2019.
    """
    matrix = check_features(features, "features")
    labels.check_length(len(matrix), "features")
    people = labels.people(len(matrix))
    cameras = np.full(len(matrix), UNKNOWN) if labels.camids is None else labels.camids
    if len(matrix) > max_images:
        rows = _sample(people, labels, max_images)
        matrix, people, cameras = matrix[rows], people[rows], cameras[rows]
    clusters = first_neighbor_clusters(matrix)
    seen, known = cameras != UNKNOWN, people != UNKNOWN
    generator = np.random.default_rng(0)
    chances = [
        normalized_mutual_information(clusters[seen], generator.permutation(cameras[seen]))
        for _ in range(_DRAWS)
    ]
    return CameraBias(
        normalized_mutual_information(clusters[seen], cameras[seen]),
        float(np.mean(chances)),
        normalized_mutual_information(clusters[known], people[known]),
    )


def first_neighbor_clusters(features: Array) -> Ints:
    """Images that are connected by links from each image to its nearest neighbour.

    Args:
        features: `(N, D)`.

    Returns:
        `(N,) int64` cluster numbers from 0, in the order of their first images.

    Example:
        >>> first_neighbor_clusters(np.array([[0.0], [9.0], [0.1], [0.3], [9.5]])).tolist()
        [0, 1, 0, 0, 1]
    """
    n = len(features)
    nearest = nearest_neighbors(features, 1).ids[:, 0] if n > 1 else np.zeros(n, np.int64)
    lowest = np.arange(n)  # the first image that each is known to be connected with
    while True:
        lower = np.minimum(lowest, lowest[nearest])
        np.minimum.at(lower, nearest, lowest)
        lower = lower[lower]
        if np.array_equal(lower, lowest):
            break
        lowest = lower
    return np.unique(lowest, return_inverse=True)[1].astype(np.int64)


def normalized_mutual_information(clusters: Ints, labels: Ints) -> float:
    """Mutual information of two groupings, over the mean of their entropies.

    Args:
        clusters: `(N,)` whole numbers.
        labels: `(N,)` whole numbers.

    Returns:
        0 for groupings that say nothing about each other, 1 for the same grouping; NaN where the
        labels are fewer than two.

    Example:
        >>> normalized_mutual_information(np.array([5, 5, 8, 8]), np.array([0, 0, 1, 1]))
        1.0
    """
    if not labels.size or (labels == labels[0]).all():
        return math.nan
    groups, labels = (np.unique(side, return_inverse=True)[1] for side in (clusters, labels))
    of_both = _entropy(groups * (labels.max() + 1) + labels)
    apart = _entropy(groups) + _entropy(labels)
    return max(0.0, 2 * (apart - of_both) / apart)


def _entropy(numbers: Ints) -> float:
    """Of the shares of each number, in nats."""
    counts = np.unique(numbers, return_counts=True)[1]
    shares = counts / len(numbers)
    return float(-(shares * np.log(shares)).sum())


def _sample(people: Ints, labels: Labels, size: int) -> Ints:
    """Row numbers, ascending: whole persons, the last one perhaps cut, and lone images."""
    names = range(len(people)) if labels.image_ids is None else labels.image_ids.tolist()
    digests = b"".join(
        hashlib.blake2b(
            (f"image {name}" if pid == UNKNOWN else f"person {pid}").encode(), digest_size=8
        ).digest()
        for name, pid in zip(names, people.tolist(), strict=True)
    )
    order = np.argsort(np.frombuffer(digests, ">u8"), kind="stable")
    return np.sort(order[:size])
