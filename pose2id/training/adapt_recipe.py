"""The recipe of an adaptation: all that `adapt.yaml` says, checked before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pose2id.choices import Device
from pose2id.training.recipe import IdentitySection, IpgSection, RenderedData


class AdaptRecipe(BaseModel):
    """What `adapt` does to a model.

    Attributes:
        seed: Seed of every draw.
        start: Folder of the model to start from.
        out: Folder that receives the adapted model and its card.
        runs: Folder of the runs (checkpoints, loss, samples).
        cache: Folder for training pictures and latents.
        workers: Processes that render or read pictures.
        device: `auto` takes CUDA, then Apple's GPU, then the CPU.
        minutes: Time for the steps of both parts; reading pictures and the report come on top.
        identity_share: Part of the minutes that the identity network gets.
        guide: Who must recognise the drawings: the generator's identity network, or the project's
            own extractor.
        background: What surrounds the person of a photograph that is to be drawn.
        holdout: About which share of the people is left out, for the report.
        rendered: Rendered people that are mixed in, so that what they taught is not lost.
        identity: Training of the identity network; its steps are the most that are done.
        ipg: Training of the generator, likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(ge=0)
    start: Path
    out: Path
    runs: Path
    cache: Path
    workers: int = Field(default=1, ge=1)
    device: Device = "auto"
    minutes: float = Field(default=90.0, gt=0)
    identity_share: float = Field(default=0.4, gt=0, lt=1)
    guide: Literal["identity", "extractor"] = "identity"
    background: Literal["keep", "studio"] = "studio"
    holdout: float = Field(default=0.08, gt=0, lt=1)
    rendered: RenderedData
    identity: IdentitySection
    ipg: IpgSection
