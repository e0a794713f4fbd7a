"""The parameters of every stage: frozen, validated, with errors that name the key.

`params.yaml` is read once, by the command that runs a stage; everything below receives the
objects defined here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from pose2id.choices import (
    ChannelOrder,
    Consequence,
    Device,
    Noise,
    PictureFormat,
    Precision,
    Protocol,
    Severity,
    Solver,
)
from pose2id.errors import ParamsError
from pose2id.machine import n_cores
from pose2id.steps.chain import Chain, check_chain, feature_chain, scoring_step
from pose2id.steps.registry import SCORING_STEPS, STEPS

PositiveInt = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class DatasetParams(_Section):
    """Where the images are, how their names are read and what may be done with them."""

    name: Name
    reader: Literal["market1501", "folder", "manifest"]
    root: str
    licence: Annotated[str, Field(min_length=1)]
    status: Literal["open", "academic", "private", "retracted"]
    allow_retracted: bool = False
    distractor_pids: tuple[int, ...] = (0,)
    junk_pids: tuple[int, ...] = (-1,)

    @model_validator(mode="after")
    def _refuse_retracted(self) -> DatasetParams:
        retracted = self.status == "retracted" or "duke" in self.name
        if retracted and not self.allow_retracted:
            raise ValueError(
                f"the dataset {self.name!r} was retracted by its authors; use another one, or set "
                "dataset.allow_retracted to true if you are entitled to use it"
            )
        return self


class IndexParams(_Section):
    """What counts as a usable image."""

    min_side_px: PositiveInt = 8
    max_pixels: PositiveInt = 50_000_000
    max_reject_rate: Fraction = 0.05


class PosesParams(_Section):
    """The poses in which every image is re-drawn."""

    source: Literal["standard", "file"] = "standard"
    file: str | None = None
    ids: Annotated[tuple[int, ...], Field(min_length=1)] = (1, 2, 3, 4, 5, 6, 7, 8)

    @model_validator(mode="after")
    def _file_given(self) -> PosesParams:
        if (self.source == "file") != (self.file is not None):
            raise ValueError("poses.file must be set when, and only when, poses.source is 'file'")
        return self


class GenerateParams(_Section):
    """The generator, its sampling and the form in which pictures are stored."""

    generator: Literal["ipg", "controlnet"] = "ipg"
    model: str = "models/ipg-small"
    solver: Solver = "ddim"
    steps: Annotated[int, Field(ge=1, le=1000)] = 1
    guidance_scale: Annotated[float, Field(ge=1.0, le=50.0)] = 1.0
    precision: Precision = "float32"
    noise: Noise = "per_pose"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 12580
    batch_size: Annotated[int, Field(ge=1, le=256)] = 4
    distractors: bool = True
    format: PictureFormat = "png"

    @model_validator(mode="after")
    def _precision_of_ipg(self) -> GenerateParams:
        if self.generator != "ipg" and self.precision != "float32":
            raise ValueError(
                f"generate.precision {self.precision!r} goes with generate.generator 'ipg'; "
                f"{self.generator!r} computes in float32"
            )
        return self


class InputSpecParams(_Section):
    """The input that an exported network wants."""

    height_px: PositiveInt
    width_px: PositiveInt
    channel_order: ChannelOrder = "rgb"
    max_value: Annotated[float, Field(gt=0)] = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


class FeaturesParams(_Section):
    """The feature network."""

    extractor: Literal["efficientnet_lite0", "onnx", "openvino", "ipg_identity"] = (
        "efficientnet_lite0"
    )
    model: str = "models/efficientnet-lite0"
    output: str | None = None
    dim: PositiveInt | None = None
    input: InputSpecParams | None = None
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 32

    @model_validator(mode="after")
    def _exported_needs_declaration(self) -> FeaturesParams:
        exported = self.extractor in ("onnx", "openvino")
        if exported and self.input is None:
            raise ValueError(
                f"features.extractor {self.extractor!r} needs features.input: height_px, width_px, "
                "channel_order, max_value, mean, std"
            )
        return self


class ValidateParams(_Section):
    """Thresholds of the quality gates; a row past one of them is quarantined with its reason."""

    max_quarantine_rate: Fraction = 0.05
    duplicates: Severity = "warn"
    query_in_gallery: Severity = "warn"
    min_pixel_std: Annotated[float, Field(ge=0, le=127.5)] = 2.0
    min_pose_difference: Annotated[float, Field(ge=0, le=255)] = 1.0
    min_identity_similarity: Annotated[float, Field(ge=-1, le=1)] = -1.0
    max_collapsed_fraction: Fraction = 0.5
    max_feature_drift: Annotated[float, Field(ge=0)] = 0.3
    max_map_drop: Fraction = 0.05
    map_drop: Consequence = "fail"


class _StepSections(_Section):
    """A section with the parameters of each step, under the step's name."""

    def step(self, name: str) -> Any:  # noqa: ANN401 - each step has parameters of its own
        """The parameters of one step."""
        return getattr(self, name)

    def by_step(self) -> dict[str, Any]:
        """Step name -> its parameters."""
        names = type(self).model_fields
        return {name: getattr(self, name) for name in (*STEPS, *SCORING_STEPS) if name in names}


if TYPE_CHECKING:
    CentralizeParams = _StepSections
else:
    CentralizeParams = create_model(
        "CentralizeParams",
        __base__=_StepSections,
        **{name: (step.params, step.params()) for name, step in STEPS.items()},
    )


class _ScoreSection(_StepSections):
    """Evaluation protocol, and the parameters of steps at scoring."""

    query: str = "query"
    gallery: str = "gallery"
    protocol: Protocol = "market"
    permutations: str | None = None
    top_k: Annotated[int, Field(ge=1, le=1000)] = 50
    bootstrap_resamples: Annotated[int, Field(ge=100, le=1_000_000)] = 2000
    seed: Annotated[int, Field(ge=0)] = 0


if TYPE_CHECKING:
    ScoreParams = _ScoreSection
else:
    ScoreParams = create_model(
        "ScoreParams",
        __base__=_ScoreSection,
        **{name: (step.params, step.params()) for name, step in SCORING_STEPS.items()},
    )


class ReportParams(_Section):
    """How much of it all the report shows with pictures."""

    identities: PositiveInt = 24
    ranked_queries: PositiveInt = 200
    map_points: PositiveInt = 1500
    seed: Annotated[int, Field(ge=0)] = 0


class TuneParams(_Section):
    """The search for fusion and centralization parameters on the train split."""

    split: str = "train"
    folds: Annotated[int, Field(ge=2, le=20)] = 3
    trials: PositiveInt = 60
    max_k: PositiveInt = 10
    eta: tuple[float, float] = (0.25, 8.0)
    rerank: bool = False
    seed: Annotated[int, Field(ge=0)] = 0

    @field_validator("eta")
    @classmethod
    def _eta_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] < value[1]:
            raise ValueError("must be two numbers, 0 < lowest < highest")
        return value


class RuntimeParams(_Section):
    """How the work is spread; on one machine nothing but the device changes an output byte."""

    runner: Literal["threads", "processes", "ray", "dask"] = "threads"
    workers: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = "auto"
    retries: Annotated[int, Field(ge=0, le=20)] = 2
    device: Device = "auto"
    address: str | None = None

    @property
    def on_cluster(self) -> bool:
        """Whether shards go to Ray or Dask."""
        return self.runner in ("ray", "dask")

    @property
    def n_workers(self) -> int:
        """Shards at once where networks run on the CPU: `auto` is one per core."""
        return n_cores() if self.workers == "auto" else self.workers


BASE = "base"  # the variant that all others are compared with
VARIANTS: dict[str, Chain] = {
    "base": (),
    "base_rerank": ("rerank",),
    "nfc": ("nfc",),
    "ipg": ("fuse",),
    "ipg_nfc": ("fuse", "nfc"),
    "ipg_nfc_rerank": ("fuse", "nfc", "rerank"),
}


class Params(_Section):
    """All of params.yaml."""

    variants: dict[Name, tuple[str, ...]] = VARIANTS
    splits: Annotated[tuple[Name, ...], Field(min_length=1)]
    shards: int = 8
    dataset: DatasetParams
    index: IndexParams = IndexParams()
    poses: PosesParams = PosesParams()
    generate: GenerateParams = GenerateParams()
    features: FeaturesParams = FeaturesParams()
    validate_: ValidateParams = Field(default=ValidateParams(), alias="validate")
    centralize: CentralizeParams = CentralizeParams()
    score: ScoreParams = ScoreParams()
    report: ReportParams = ReportParams()
    tune: TuneParams = TuneParams()
    runtime: RuntimeParams = RuntimeParams()

    @field_validator("shards")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value < 1 or value > 4096 or value & (value - 1):
            raise ValueError("must be a power of two from 1 to 4096")
        return value

    @field_validator("variants")
    @classmethod
    def _chains(cls, value: dict[str, tuple[str, ...]]) -> dict[str, Chain]:
        if value.get(BASE) != ():
            raise ValueError(f"must have `{BASE}: []`, which all others are compared with")
        names: dict[Chain, str] = {}
        for name, steps in value.items():
            chain = check_chain(name, steps)
            if chain in names:
                raise ValueError(f"{name!r} has the same steps as {names[chain]!r}")
            names[chain] = name
        return value

    def chain(self, variant: str) -> Chain:
        """The steps of a variant.

        Raises:
            ParamsError: There is no such variant.
        """
        if variant not in self.variants:
            raise ParamsError(
                f"there is no variant {variant!r}; params.yaml has {', '.join(self.variants)}"
            )
        return self.variants[variant]

    def features_of(self, variant: str) -> str:
        """The variant whose table holds this one's features: the one without steps at scoring."""
        wanted = feature_chain(self.chain(variant))
        same = [name for name, steps in self.variants.items() if feature_chain(steps) == wanted]
        return next((name for name in same if self.variants[name] == wanted), same[0])

    @property
    def default_variant(self) -> str:
        """The last variant without steps at scoring: what is exported unless another is named."""
        plain = [name for name, steps in self.variants.items() if not scoring_step(steps)]
        return plain[-1]

    def feature_variants(self) -> dict[str, Chain]:
        """The variants whose features are stored, with their steps on features."""
        return {
            name: feature_chain(steps)
            for name, steps in self.variants.items()
            if self.features_of(name) == name
        }

    @property
    def references(self) -> dict[str, str]:
        """Role -> split, for steps that take statistics or neighbours from another set."""
        roles = {"gallery": self.score.gallery, "train": "train"}
        return {role: split for role, split in roles.items() if split in self.splits}

    @model_validator(mode="after")
    def _splits_known(self) -> Params:
        if len(set(self.splits)) != len(self.splits):
            raise ValueError(f"splits has a name twice: {list(self.splits)}")
        named = {"score.query": self.score.query, "score.gallery": self.score.gallery}
        for key, name in named.items():
            if name not in self.splits:
                raise ValueError(f"{key} is {name!r}, which is not among splits")
        used = {step for steps in self.variants.values() for step in feature_chain(steps)}
        for name in sorted(used):
            role = getattr(self.centralize.step(name), "reference", "own")
            if role not in ("own", *self.references):
                raise ValueError(
                    f"centralize.{name}.reference is {role!r}, but there is no such split"
                )
        return self


def load_params(path: Path) -> Params:
    """Reads and validates a params file.

    Args:
        path: The YAML file.

    Returns:
        The validated parameters.

    Raises:
        ParamsError: The file is missing, is not YAML, or a value is not allowed; the message
            lists every faulty key with what was given and what is allowed.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(
            f"there is no {path}; run from the project's root or name one with --params"
        ) from error
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ParamsError(f"{path} must be a mapping of sections, got {type(raw).__name__}")
    return parse_params(raw, str(path))


def parse_params(raw: dict[str, Any], source: str = "params") -> Params:
    """Validates parameters given as a mapping; see `load_params`."""
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(item) for item in error.errors()]
        raise ParamsError(f"{source} has {len(lines)} error(s):\n  " + "\n  ".join(lines)) from None


def _explain(item: Any) -> str:  # noqa: ANN401 - pydantic's error records are untyped
    key = ".".join(str(part) for part in item["loc"]) or "params"
    if isinstance(item.get("ctx", {}).get("error"), ParamsError):  # a step's, which names its key
        return ".".join([*map(str, item["loc"][:-1]), item["msg"].removeprefix("Value error, ")])
    given = item["input"] if not isinstance(item["input"], dict) else "this section"
    if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{key}: unknown parameter (given {given!r}); remove it or correct its name"
    if item["type"] == "missing":
        return f"{key}: required, but not given"
    return f"{key}: given {given!r}; {item['msg'].removeprefix('Value error, ')}"
