"""Training of the identity network: classification and triplets over cameras."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pose2id.generation.config import IdentityConfig
from pose2id.generation.identity_net import IdentityNet
from pose2id.training.augmentation import augment, distort
from pose2id.training.guide import at_size
from pose2id.training.pool import Pool
from pose2id.training.randomness import StepRandom
from pose2id.training.vae import tile, to_signed


@dataclass(frozen=True, slots=True)
class IdentityLoss:
    """How batches are formed and losses weighed (classification counts 1).

    Attributes:
        identities: Identities per batch.
        pictures: Pictures per identity.
        triplet: Weight of the batch-hard triplet loss.
        label_smoothing: Of the classification.
        distort: Vary light, colour, resolution and what stands in front much more than `augment`
            does: for rendered people, whose network shall know photographs.
    """

    identities: int = 16
    pictures: int = 4
    triplet: float = 1.0
    label_smoothing: float = 0.1
    distort: bool = False


class IdentityHead(nn.Module):
    """The network with the classifier that only training needs.

    Attributes:
        body: The identity network.
        neck: Normalisation between feature and classifier.
        classifier: One row per identity.
    """

    def __init__(self, body: IdentityNet, identities: int) -> None:
        super().__init__()
        dim = body.config.feature_dim
        self.body = body
        self.neck = nn.BatchNorm1d(dim)
        self.neck.bias.requires_grad_(False)
        self.classifier = nn.Linear(dim, identities, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)


def batch_hard_triplet(features: Tensor, labels: Tensor) -> Tensor:
    """Soft-margin triplet loss with the hardest positive and negative of each anchor.

    Args:
        features: `(B, D)`.
        labels: `(B,)`; every label occurs twice or more.

    Returns:
        Scalar.

    Source: Hermans et al., In Defense of the Triplet Loss for Person Re-Identification, 2017.
    """
    distances = torch.cdist(features, features)  # (B, B)
    same = labels[:, None] == labels[None, :]
    farthest_same = distances.masked_fill(~same, -torch.inf).amax(dim=1)
    nearest_other = distances.masked_fill(same, torch.inf).amin(dim=1)
    return F.softplus(farthest_same - nearest_other).mean()


class IdentityJob:
    """Trains the identity network on the pictures of a pool.

    Attributes:
        name: `identity`.
        settings: Sizes, loss weights and data.
        network: The network with its classifier.
    """

    name = "identity"

    def __init__(
        self, config: IdentityConfig, loss: IdentityLoss, pool: Pool, network: IdentityHead
    ) -> None:
        self.settings = f"{config}|{loss}|{pool.name}"
        self.network = network
        self._loss, self._pool, self._config = loss, pool, config
        order = np.argsort(pool.table.identity, kind="stable")
        cuts = np.flatnonzero(np.diff(pool.table.identity[order])) + 1
        self._groups = np.split(order, cuts)

    def loss(self, random: StepRandom) -> Tensor:
        """Loss of P identities with K pictures each."""
        device = self.network.classifier.weight.device
        people = random.numpy.choice(len(self._groups), self._loss.identities, replace=False)
        k = self._loss.pictures
        rows = [np.resize(random.numpy.permutation(self._groups[person]), k) for person in people]
        labels = torch.from_numpy(np.repeat(people, k)).to(device)
        images = augment(self._images(np.concatenate(rows), self._pool), random)
        if self._loss.distort:
            images = distort(images, random)
        features = self.network.body(images).float()
        logits = self.network.classifier(self.network.neck(features))
        named = F.cross_entropy(logits, labels, label_smoothing=self._loss.label_smoothing)
        return named + self._loss.triplet * batch_hard_triplet(features, labels)

    def _images(self, rows: NDArray[np.int64], pool: Pool) -> Tensor:
        return self._tensor(pool.pictures(rows))

    def _tensor(self, pictures: NDArray[np.uint8]) -> Tensor:
        device = self.network.classifier.weight.device
        images = to_signed(pictures, device)
        return at_size(images, self._config.height_px, self._config.width_px)

    def features(self, pool: Pool) -> NDArray[np.float32]:
        """Features of all pictures of a pool, as `features_of`."""
        parts = np.array_split(np.arange(len(pool)), -(-len(pool) // 64))
        return np.concatenate([self.features_of(pool.pictures(part)) for part in parts])

    def features_of(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features of pictures; the network is left in evaluation mode.

        Args:
            pictures: `(N, H, W, 3) uint8`.

        Returns:
            `(N, D) float32`.
        """
        self.network.eval()
        parts = [pictures[start : start + 64] for start in range(0, len(pictures), 64)]
        with torch.no_grad():
            found = [self.network.body(self._tensor(part)) for part in parts]
        return torch.cat(found).float().cpu().numpy()

    def sample_grid(self) -> NDArray[np.uint8]:
        """Pictures of a few people, each row led by one and sorted by distance to it."""
        groups = self._groups[:: max(1, len(self._groups) // 12)][:12]
        rows = np.concatenate([group[:2] for group in groups])
        with torch.no_grad():
            self.network.eval()
            features = F.normalize(self.network.body(self._images(rows, self._pool)).float())
            self.network.train()
        distance = torch.cdist(features, features).cpu().numpy()
        order = np.argsort(distance[:6], axis=1, kind="stable")[:, :12]
        pictures = self._pool.pictures(rows[order].ravel())
        return tile(pictures.reshape(len(order), -1, *pictures.shape[1:]))


def camera_map(
    features: NDArray[np.float32], identity: NDArray[np.int64], camera: NDArray[np.int64]
) -> tuple[float, float]:
    """Scores retrieval, each picture once as the query with all others as the gallery.

    Args:
        features: `(N, D)`, not normalised.
        identity: `(N,)`.
        camera: `(N,)`; pictures of the query's person by the query's camera do not count.

    Returns:
        mAP and Rank-1 in [0, 1].
    """
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    order = np.argsort(-(unit @ unit.T), axis=1, kind="stable")  # (N, N)
    precisions, hits = [], []
    for query, ranked in enumerate(order):
        same = identity[ranked] == identity[query]
        kept = ~(same & (camera[ranked] == camera[query]))
        match = same[kept]
        if match.any():
            ranks = np.flatnonzero(match) + 1
            precisions.append(float(np.mean(np.arange(1, len(ranks) + 1) / ranks)))
            hits.append(float(match[0]))
    return float(np.mean(precisions)), float(np.mean(hits))
