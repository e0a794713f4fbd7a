"""The parameters of every stage: frozen, validated, with errors that name the key.

`params.yaml` is read once, by the command that runs a stage; everything below receives the
objects defined here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pose2id.errors import ParamsError

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

    source: Literal["standard", "file", "dataset"] = "standard"
    file: str | None = None
    split: Name = "train"
    seed: Annotated[int, Field(ge=0)] = 0
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
    solver: Literal["ddim", "dpmpp", "unipc"] = "ddim"
    steps: Annotated[int, Field(ge=1, le=1000)] = 8
    guidance_scale: Annotated[float, Field(ge=1.0, le=50.0)] = 1.0
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    noise: Literal["per_pose", "per_image"] = "per_pose"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 12580
    batch_size: Annotated[int, Field(ge=1, le=256)] = 4
    distractors: bool = True
    format: Literal["png", "jpeg", "webp"] = "png"

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
    channel_order: Literal["rgb", "bgr"] = "rgb"
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


Severity = Literal["warn", "quarantine", "fail"]


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


class FusionParams(_Section):
    """How the features of the generated pictures join the feature of the original."""

    reduce: Literal["mean", "sum", "max", "concat"] = "mean"
    eta: Annotated[float, Field(ge=0)] = 2.0
    weights: Literal["uniform", "identity_similarity"] = "uniform"


class NfcParams(_Section):
    """Neighbour feature centralization."""

    k1: PositiveInt = 2
    k2: PositiveInt = 2
    search: Literal["exact", "hnsw", "ivf"] = "exact"
    memory_mib: Annotated[int, Field(ge=16)] = 256


class CentralizeParams(_Section):
    """Fusion and neighbour centralization."""

    fusion: FusionParams = FusionParams()
    nfc: NfcParams = NfcParams()


class RerankParams(_Section):
    """k-reciprocal re-ranking."""

    k1: PositiveInt = 20
    k2: PositiveInt = 6
    lambda_value: Fraction = 0.3


Variant = Literal["base", "ipg", "nfc", "ipg_nfc"]


class ScoreParams(_Section):
    """Evaluation protocol."""

    query: str = "query"
    gallery: str = "gallery"
    protocol: Literal["market", "trapezoidal", "single_gallery_shot"] = "market"
    rerank: RerankParams | None = RerankParams()
    rerank_variants: tuple[Variant, ...] = ("ipg_nfc",)
    top_k: Annotated[int, Field(ge=1, le=1000)] = 50
    bootstrap_resamples: Annotated[int, Field(ge=100)] = 2000
    seed: Annotated[int, Field(ge=0)] = 0


class ReportParams(_Section):
    """How much the report page shows."""

    identities: PositiveInt = 24
    ranked_queries: PositiveInt = 24
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
    """How the work is spread; nothing here changes an output byte."""

    runner: Literal["threads", "processes", "ray", "dask"] = "threads"
    workers: Annotated[int, Field(ge=1, le=1024)] = 1
    retries: Annotated[int, Field(ge=0, le=20)] = 2
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    address: str | None = None

    @property
    def on_cluster(self) -> bool:
        """Whether shards go to Ray or Dask."""
        return self.runner in ("ray", "dask")


class Params(_Section):
    """All of params.yaml."""

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

    @model_validator(mode="after")
    def _splits_known(self) -> Params:
        if len(set(self.splits)) != len(self.splits):
            raise ValueError(f"splits has a name twice: {list(self.splits)}")
        named = {"score.query": self.score.query, "score.gallery": self.score.gallery}
        if self.poses.source == "dataset":
            named["poses.split"] = self.poses.split
        for key, name in named.items():
            if name not in self.splits:
                raise ValueError(f"{key} is {name!r}, which is not among splits")
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
    given = item["input"] if not isinstance(item["input"], dict) else "this section"
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown parameter (given {given!r}); remove it or correct its name"
    if item["type"] == "missing":
        return f"{key}: required, but not given"
    return f"{key}: given {given!r}; {item['msg'].removeprefix('Value error, ')}"
