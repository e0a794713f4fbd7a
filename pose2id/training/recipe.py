"""The recipe of a training: everything that `train.yaml` says, checked before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pose2id.choices import Device
from pose2id.errors import ParamsError
from pose2id.generation.config import IpgConfig
from pose2id.training.identity import IdentityLoss
from pose2id.training.ipg import IpgLoss
from pose2id.training.loop import LoopConfig
from pose2id.training.sources import PoolLook
from pose2id.training.vae import VaeLoss

FIRST_RESERVED_SEED = 1000
"""Renderer seeds from here on belong to demos, tests and evaluations."""


RecipeKind = TypeVar("RecipeKind", bound=BaseModel)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RenderedData(_Section):
    """Rendered identities; see `RenderedSource`."""

    source: Literal["rendered"]
    seed: int = Field(ge=0, lt=FIRST_RESERVED_SEED)
    identities: int = Field(ge=2)
    shots: int = Field(ge=1)
    standard: int = Field(ge=0)
    free: int = Field(ge=0)
    look: PoolLook = "plain"


class IndexedData(_Section):
    """An indexed split with key points.

    Attributes:
        root: Folder that the index's paths start from.
        index: Parquet files with image_id, path, split, pid, camid, sha256.
        keypoints: Parquet file with image_id and keypoints (18 * 3 numbers, x and y in [0, 1]).
        background: What surrounds the person of a target: `keep` it, or cut the person out by the
            key points and put them on the renderer's `studio` ground.
        holdout: About which share of the people is left out, for the report.
    """

    source: Literal["indexed"]
    root: Path
    index: tuple[Path, ...] = Field(min_length=1)
    keypoints: Path
    background: Literal["keep", "studio"] = "keep"
    holdout: float = Field(default=0.1, ge=0, lt=1)


class MixedData(_Section):
    """Real people and rendered ones together."""

    source: Literal["mixed"]
    indexed: IndexedData
    rendered: RenderedData


class LoopSection(_Section):
    """The settings of `LoopConfig` that a recipe may set; the seed is the recipe's."""

    steps: int = Field(ge=1)
    lr: float = Field(gt=0)
    warmup_steps: int = Field(default=100, ge=0)
    decay_fraction: float = Field(default=0.3, gt=0, le=1)
    weight_decay: float = Field(default=0.01, ge=0)
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    grad_clip: float = Field(default=1.0, gt=0)
    accumulation: int = Field(default=1, ge=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    checkpoint_every: int = Field(default=200, ge=1)
    sample_every: int = Field(default=1000, ge=1)

    def config(self, seed: int) -> LoopConfig:
        """The loop's settings with the recipe's seed."""
        return LoopConfig(seed=seed, **self.model_dump())


class VaeSection(_Section):
    """Training of the autoencoder; on the first `pictures` of the data, or on all."""

    loop: LoopSection
    loss: VaeLoss = VaeLoss()
    batch: int = Field(default=16, ge=1)
    pictures: int | None = Field(default=None, ge=1)


class DecoderSection(_Section):
    """Further training of the decoder, on targets only.

    Attributes:
        noise: Spread of the noise on the latents.
    """

    loop: LoopSection
    loss: VaeLoss = VaeLoss()
    batch: int = Field(default=8, ge=1)
    noise: float = Field(default=0.1, ge=0)


class IdentitySection(_Section):
    """Training of the identity network; on the first `pictures` of the data, or on all.

    Attributes:
        start: `scratch`, or a model's folder whose identity network is trained on, with a new
            classifier.
    """

    loop: LoopSection
    loss: IdentityLoss = IdentityLoss()
    pictures: int | None = Field(default=None, ge=1)
    start: Literal["scratch"] | Path = "scratch"


class IpgSection(_Section):
    """Training of UNets, refiner and guider.

    Attributes:
        start: `scratch`, or a folder of weights (ours) to start from, e.g. converted official ones.
            Then the autoencoder is taken from there too, and so is the identity network unless the
            recipe has a section `identity`.
    """

    loop: LoopSection
    loss: IpgLoss = IpgLoss()
    start: Literal["scratch"] | Path = "scratch"


class Recipe(_Section):
    """All of `train.yaml`.

    Attributes:
        seed: Seed of weights and of every draw.
        runs: Folder of the runs (checkpoints, loss, samples).
        out: Folder that receives the finished model and its card.
        cache: Folder for training pictures and latents.
        workers: Processes that render or read pictures.
        device: `auto` takes CUDA, then Apple's GPU, then the CPU.
        model: Sizes of all parts.
        about: What the card says of the data's origin and licence.
    """

    seed: int = Field(ge=0)
    runs: Path
    out: Path
    cache: Path
    workers: int = Field(default=1, ge=1)
    device: Device = "auto"
    data: Annotated[RenderedData | IndexedData | MixedData, Field(discriminator="source")]
    model: IpgConfig
    about: str = ""
    vae: VaeSection | None = None
    decoder: DecoderSection | None = None
    identity: IdentitySection | None = None
    ipg: IpgSection

    @model_validator(mode="after")
    def _one_autoencoder(self) -> Recipe:
        if self.ipg.start != "scratch" and (self.vae or self.decoder):
            raise ValueError(
                "the sections `vae` and `decoder` go with ipg.start: scratch only; weights that "
                "training starts from know the latents of their own autoencoder"
            )
        return self


def check_recipe(kind: type[RecipeKind], content: Any, name: str) -> RecipeKind:  # noqa: ANN401
    """Checks a recipe.

    Args:
        kind: What it is a recipe of: `Recipe` of a training, `AdaptRecipe` of adapting.
        content: What the YAML file holds.
        name: The file's name, for messages.

    Returns:
        The recipe.

    Raises:
        ParamsError: A key is unknown, missing or outside its allowed values.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise ParamsError(f"{name} is not a valid recipe. {_explain(error)}.") from error


def _explain(error: ValidationError) -> str:
    """All faults of a recipe in one line: where, what is allowed, what was given."""
    return "; ".join(
        f"{'.'.join(map(str, e['loc']))}: {e['msg']} (given: {e.get('input')!r})"
        for e in error.errors()
    )
