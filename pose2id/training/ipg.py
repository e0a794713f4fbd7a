"""Training of IPG: both UNets, the identity feature refiner and the pose guider."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from numpy.typing import NDArray
from torch import Tensor, nn

from pose2id.generation.model import IpgModel
from pose2id.generation.pictures import skeleton_batch, to_uint8
from pose2id.generation.sampler import Sampling, make_scheduler, sample, start_noise
from pose2id.poses.standard import STANDARD_POSES
from pose2id.training.augmentation import augment
from pose2id.training.guide import Guide, IdentityGuide
from pose2id.training.pool import Pool
from pose2id.training.randomness import StepRandom
from pose2id.training.sources import PairIndex, PictureTable
from pose2id.training.vae import tile, to_signed

LAST_TIMESTEP = 999


@dataclass(frozen=True, slots=True)
class IpgLoss:
    """How batches are formed and the denoiser's loss is weighed.

    Attributes:
        references: References per batch.
        targets: Targets per reference: the reference pass is done once for all of them.
        unconditional: Share of targets that see neither reference nor identity.
        noise_offset: Spread of a shift per latent channel added to the noise.
        min_snr_gamma: Steps with a higher signal-to-noise ratio (plus one) count less.
        full_noise: Share of targets at the last time step, where the denoiser sees only noise and
            must tell everything from the reference; the others are spread evenly. Pairs of (from
            this step of training on, share), in ascending order.
        identity: Weight of the identity loss: the frozen guide (the identity network, as a rule)
            must find the person of the decoded prediction among other people. 0 leaves it out. It
            looks at the first target of each reference.
        identity_candidates: Pictures of other people among which it must be found.
        identity_temperature: Divides the cosines; should be near the spread that the network's
            cosines between people have.
        photo_pairs: Share of the references of a mixed pool that are photographs of real people
            with a target; the others are rendered.
        untargeted: Photographs per batch that are drawn in a pose of nobody's picture: there is no
            target, but the guide must find the person among all real people.
        untargeted_weight: Weight of that.
    """

    references: int = 8
    targets: int = 4
    unconditional: float = 0.1
    noise_offset: float = 0.05
    min_snr_gamma: float = 5.0
    full_noise: tuple[tuple[int, float], ...] = ((0, 0.3),)
    identity: float = 0.0
    identity_candidates: int = 512
    identity_temperature: float = 0.05
    photo_pairs: float = 0.5
    untargeted: int = 0
    untargeted_weight: float = 0.1

    def full_noise_at(self, step: int) -> float:
        """The share of `full_noise` at a step of training."""
        return next(share for start, share in reversed(self.full_noise) if start <= step)


def velocity_weight(alpha_bar: Tensor, gamma: float) -> Tensor:
    """Min-SNR weight of a v prediction.

    Args:
        alpha_bar: Product of the alphas up to each step, in [0, 1).
        gamma: Cap on SNR + 1.

    Returns:
        Weights in (0, 1], same shape; 1 where there is no signal.

    Source: Hang et al., Efficient Diffusion Training via Min-SNR Weighting Strategy, ICCV 2023.

    >>> velocity_weight(torch.tensor([0.0, 0.5, 0.75]), 2.0).tolist()
    [1.0, 1.0, 0.5]
    """
    return (gamma * (1.0 - alpha_bar)).clamp(max=1.0)


def identification_loss(found: Tensor, right: Tensor, others: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of naming the right one of 1 + M candidates by cosine.

    Args:
        found: `(B, D)` features of predictions.
        right: `(B, D)` features of the pictures that they should resemble.
        others: `(M, D)` features of pictures of other people.
        temperature: Divides the cosines.

    Returns:
        Scalar.

    Source: van den Oord et al., Representation Learning with Contrastive Predictive Coding, 2018.
    """
    found = F.normalize(found, dim=-1)
    right = (found * F.normalize(right, dim=-1)).sum(dim=-1, keepdim=True)  # (B, 1)
    wrong = found @ F.normalize(others, dim=-1).T  # (B, M)
    logits = torch.cat([right, wrong], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=found.device))


def quiet_residuals(unet: nn.Module) -> None:
    """Lets a fresh UNet start as its shortcuts: every residual branch ends in zeros.

    Args:
        unet: The reference UNet or the denoiser; changed in place.
    """
    with torch.no_grad():
        for module in unet.modules():
            if isinstance(module, ResnetBlock2D):
                nn.init.zeros_(module.conv2.weight)
            elif isinstance(module, Transformer2DModel):
                nn.init.zeros_(module.proj_out.weight)


def _references_by_kind(
    table: PictureTable, references: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Photographs and rendered pictures among some rows."""
    is_photo = table.is_photo[references]
    return references[is_photo], references[~is_photo]


class _Photographed:
    """The real people of a pool.

    Attributes:
        rows: `(R,) int64` their photographs.
        number: `(identities,) int64` row of `centres` of each identity; -1 for rendered people.
        centres: `(people, D) float32`, L2-normalised mean of each one's normalised features.
    """

    def __init__(self, table: PictureTable, features: NDArray[np.float16]) -> None:
        self.rows = np.flatnonzero(table.is_reference & table.is_photo)
        unit = F.normalize(torch.from_numpy(features[self.rows].astype(np.float32)), dim=-1)
        people, which = np.unique(table.identity[self.rows], return_inverse=True)
        sums = torch.zeros(len(people), unit.shape[1]).index_add_(0, torch.from_numpy(which), unit)
        self.centres = F.normalize(sums, dim=-1)
        self.number = np.full(int(table.identity.max()) + 1, -1, dtype=np.int64)
        self.number[people] = np.arange(len(people))


class IpgJob:
    """Trains IPG on pairs of one identity; the autoencoder and the identity network stay frozen.

    Attributes:
        name: `ipg`.
        settings: Sizes, loss weights and data.
        network: The trained parts.
    """

    name = "ipg"

    def __init__(
        self,
        model: IpgModel,
        loss: IpgLoss,
        pool: Pool,
        frozen: str,
        guide: Guide | None = None,
    ) -> None:
        """Computes or reads the latents and identity features of the pool.

        Args:
            model: The model; its frozen parts must be final.
            loss: Batch and loss settings.
            pool: Pictures.
            frozen: Fingerprint of the frozen parts' weights.
            guide: Judges drawings for the identity loss; None is the identity network.
        """
        self._guide = IdentityGuide(model.identity) if guide is None else guide
        judge = "" if guide is None else f"|{guide.fingerprint}"
        self.settings = f"{model.config}|{loss}|{pool.name}|{frozen}{judge}"
        self.network = nn.ModuleList(
            [model.reference_unet, model.denoising_unet, model.refiner, model.guider]
        )
        self._model, self._loss, self._pool = model, loss, pool
        self._pairs = PairIndex(pool.table)
        # Standard poses come back in every batch; free ones do not.
        self._skeleton = lru_cache(maxsize=64)(self._draw_skeleton)
        self._device = next(model.parameters()).device
        rows = np.arange(len(pool))
        self._latents = pool.derived(f"latents-{frozen[:16]}", rows, self._encode)
        used = rows if loss.identity or loss.untargeted else np.flatnonzero(pool.table.is_reference)
        self._feature_row = np.full(len(pool), -1, dtype=np.int64)
        self._feature_row[used] = np.arange(len(used))
        self._features = self._judged = pool.derived(
            f"identity-{frozen[:16]}", used, self._identify
        )
        if guide is not None and len(used) == len(rows):
            self._judged = pool.derived(f"guide-{guide.fingerprint[:16]}", used, self._judge)
        self._alpha_bar = make_scheduler("ddim").alphas_cumprod.to(self._device)
        config = model.config.identity
        with torch.no_grad():
            grey = torch.zeros(1, 3, config.height_px, config.width_px, device=self._device)
            self._no_identity = model.identity_features(grey)  # (1, D)
        self._by_kind = _references_by_kind(pool.table, self._pairs.references)
        self._photographed = _Photographed(pool.table, self._judged) if loss.untargeted else None

    def _encode(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.no_grad():
            return self._model.encode(to_signed(pictures, self._device)).cpu().numpy()

    def _identify(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.no_grad():
            images = to_signed(pictures, self._device)
            return self._model.identity_features(images).cpu().numpy()

    def _judge(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.no_grad():
            return self._guide(to_signed(pictures, self._device)).cpu().numpy()

    def _tensor(self, array: NDArray[np.float16]) -> Tensor:
        return torch.from_numpy(array.astype(np.float32)).to(self._device)

    def loss(self, random: StepRandom) -> Tensor:
        """Loss of B references with K targets each."""
        setting, model, draw = self._loss, self._model, random.numpy
        references = self._some_references(draw)
        rows = [self._some_targets(reference, draw) for reference in references]
        targets = np.concatenate(rows)  # (N,)
        index = torch.arange(len(references), device=self._device)
        index = index.repeat_interleave(setting.targets)  # (N,)
        clean = self._tensor(self._latents[targets])

        n = len(targets)
        t = draw.integers(0, LAST_TIMESTEP + 1, n)
        t[draw.random(n) < setting.full_noise_at(random.step)] = LAST_TIMESTEP
        timestep = torch.from_numpy(t).to(self._device)
        alpha_bar = self._alpha_bar[timestep].view(-1, 1, 1, 1)
        noise = random.normal(*clean.shape)
        noise = noise + setting.noise_offset * random.normal(n, clean.shape[1], 1, 1)
        noise = noise.to(self._device)
        noisy = alpha_bar.sqrt() * clean + (1.0 - alpha_bar).sqrt() * noise
        velocity = alpha_bar.sqrt() * noise - (1.0 - alpha_bar).sqrt() * clean

        drop = torch.from_numpy(draw.random(n) < setting.unconditional).to(self._device)
        features = self._identity_of(references)  # (B, D)
        tokens = model.identity_tokens(torch.cat([features, self._no_identity]))  # (B + 1, T, C)
        banks = model.reference_banks(self._tensor(self._latents[references]), tokens[:-1])
        token_row = torch.where(drop, len(references), index)
        poses, pose_row = np.unique(self._pool.table.pose[targets], return_inverse=True)
        embedding = model.pose_embedding(self._condition(poses))  # (P, C, h, w)
        embedding = embedding[torch.from_numpy(pose_row).to(self._device)]
        predicted = model.denoise(noisy, timestep, tokens[token_row], banks, embedding, index, drop)
        predicted = predicted.float()
        weight = velocity_weight(alpha_bar, setting.min_snr_gamma)
        error: Tensor = (weight * (predicted - velocity) ** 2).mean()
        if setting.identity:
            latents = alpha_bar.sqrt() * noisy - (1.0 - alpha_bar).sqrt() * predicted
            first = np.arange(0, n, setting.targets)
            seen = first[~drop[first].cpu().numpy()]  # dropped ones know no person
            error = error + setting.identity * self._identity_loss(
                latents[seen], targets[seen], draw
            )
        if self._photographed is not None:
            error = error + setting.untargeted_weight * self._untargeted_loss(
                self._photographed, random
            )
        return error

    def _some_references(self, draw: np.random.Generator) -> NDArray[np.int64]:
        """References of a batch `(B,)`: of both kinds where the pool has both."""
        photos, rendered = self._by_kind
        n = self._loss.references
        n_photos = round(self._loss.photo_pairs * n)
        if not len(photos) or not len(rendered):
            return draw.choice(self._pairs.references, n, replace=False)
        return np.concatenate(
            [
                draw.choice(photos, n_photos, replace=False),
                draw.choice(rendered, n - n_photos, replace=False),
            ]
        )

    def _untargeted_loss(self, people: _Photographed, random: StepRandom) -> Tensor:
        """Draws photographed people from pure noise, in one step, in any standard pose."""
        setting, model, draw = self._loss, self._model, random.numpy
        n = setting.untargeted
        rows = draw.choice(people.rows, n, replace=False)
        tokens = model.identity_tokens(self._identity_of(rows))  # (n, T, C)
        banks = model.reference_banks(self._tensor(self._latents[rows]), tokens)
        poses = STANDARD_POSES[draw.integers(0, len(STANDARD_POSES), n)]
        embedding = model.pose_embedding(skeleton_batch(poses, model.config).to(self._device))
        noise = random.normal(n, *model.config.latent_shape).to(self._device)
        last = torch.full((n,), LAST_TIMESTEP, device=self._device)
        index = torch.arange(n, device=self._device)
        drop = torch.zeros(n, dtype=torch.bool, device=self._device)
        velocity = model.denoise(noise, last, tokens, banks, embedding, index, drop)
        # The last time step holds no signal: the clean latents are the velocity's negative.
        images = augment(model.decode(-velocity.float()).clamp(-1.0, 1.0), random)
        cosines = (
            F.normalize(self._guide(images), dim=-1) @ people.centres.to(self._device).T
        )  # (n, people)
        right = torch.from_numpy(people.number[self._pool.table.identity[rows]]).to(self._device)
        return F.cross_entropy(cosines / setting.identity_temperature, right)

    def _identity_loss(
        self, latents: Tensor, targets: NDArray[np.int64], draw: np.random.Generator
    ) -> Tensor:
        """Identity loss of predicted latents `(N, C, h, w)` of some targets `(N,)`."""
        setting, table = self._loss, self._pool.table
        others = draw.choice(self._pairs.targets, setting.identity_candidates)
        # A candidate of a batch's own person would be no wrong answer.
        others = others[~np.isin(table.identity[others], table.identity[targets])]
        images = self._model.decode(latents).clamp(-1.0, 1.0)
        return identification_loss(
            self._guide(images),
            self._tensor(self._judged[self._feature_row[targets]]),
            self._tensor(self._judged[self._feature_row[others]]),
            setting.identity_temperature,
        )

    def _identity_of(self, rows: NDArray[np.int64]) -> Tensor:
        return self._tensor(self._features[self._feature_row[rows]])

    def _some_targets(self, reference: int, draw: np.random.Generator) -> NDArray[np.int64]:
        found = self._pairs.targets_of(reference)
        return np.resize(draw.permutation(found), self._loss.targets)

    def _condition(self, poses: NDArray[np.int64]) -> Tensor:
        return torch.stack([self._skeleton(pose) for pose in poses.tolist()]).to(self._device)

    def _draw_skeleton(self, pose: int) -> Tensor:
        return skeleton_batch(self._pool.table.keypoints[[pose]], self._model.config)[0]

    def sample_grid(self) -> NDArray[np.uint8]:
        """Each row: a reference, then pictures drawn from it in the first poses of the pool."""
        model = self._model
        references = self._pairs.references[:: max(1, len(self._pairs.references) // 6)][:6]
        n_poses = min(8, len(self._pool.table.keypoints))
        with torch.no_grad():
            tokens = model.identity_tokens(self._identity_of(references))
            banks = model.reference_banks(self._tensor(self._latents[references]), tokens)
            embedding = model.pose_embedding(self._condition(np.arange(n_poses)))
            latents = sample(
                model,
                start_noise(range(n_poses), model.config.latent_shape)
                .to(self._device)
                .repeat(len(references), 1, 1, 1),
                tokens,
                None,
                banks,
                torch.arange(len(references), device=self._device).repeat_interleave(n_poses),
                embedding.repeat(len(references), 1, 1, 1),
                Sampling("ddim", 8, 1.0),
            )
            drawn = to_uint8(
                model.decode(latents).cpu(), model.config.height_px, model.config.width_px
            )
        pictures = drawn.reshape(len(references), n_poses, *drawn.shape[1:])
        return tile(np.concatenate([self._pool.pictures(references)[:, None], pictures], axis=1))
