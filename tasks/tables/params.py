"""The parameters of every stage: frozen, validated, with errors that name the key.

`params.yaml` is read once, by the command that runs a stage; everything below receives the
objects defined here.
"""

from __future__ import annotations

import difflib
import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pose2id.errors import ParamsError
from tasks.tables.yaml_file import read_yaml

MAX_ETA = 1000.0  # more drowns the original's feature in float32
MAX_K = 10_000
MAX_SIDE_PX = 8192

Seed = Annotated[int, Field(ge=0, lt=2**63)]
Neighbors = Annotated[int, Field(ge=1, le=MAX_K)]
Shown = Annotated[int, Field(ge=1, le=100_000)]
Eta = Annotated[float, Field(ge=0, le=MAX_ETA)]
Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
PoseId = Annotated[int, Field(ge=1, lt=2**15)]
Offset = Annotated[float, Field(ge=-65535, le=65535)]
Scale = Annotated[float, Field(ge=1e-6, le=65535)]
Text = Annotated[str, Field(min_length=1, max_length=1000)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]


def _readable_path(path: str) -> str:
    if not path.strip() or not path.isprintable():
        raise ValueError("must be a path of printable characters")
    if path.startswith("~"):
        raise ValueError(
            "'~' stands for your home only in a shell, and DVC reads this path too; write it "
            f"out: {Path(path).expanduser() if path.startswith('~/') else '/home/...'}"
        )
    return path


PathText = Annotated[str, Field(max_length=4096), AfterValidator(_readable_path)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_numbers(cls, value: object, info: ValidationInfo) -> object:
        """`true` would count as 1."""
        if (
            isinstance(value, bool)
            and cls.model_fields[str(info.field_name)].annotation is not bool
        ):
            raise ValueError("true and false are not allowed here")
        return value


class DatasetParams(_Section):
    """Where the images are, how their names are read and what may be done with them."""

    name: Name
    reader: Literal["market1501", "folder", "manifest"]
    root: PathText
    licence: Text
    status: Literal["open", "academic", "private", "retracted"]
    allow_retracted: bool = False
    distractor_pids: tuple[Int32, ...] = (0,)
    junk_pids: tuple[Int32, ...] = (-1,)

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

    min_side_px: Annotated[int, Field(ge=1, le=MAX_SIDE_PX)] = 8
    max_pixels: Annotated[int, Field(ge=1, lt=2**31)] = 50_000_000
    max_reject_rate: Fraction = 0.05


class PosesParams(_Section):
    """The poses in which every image is re-drawn."""

    source: Literal["standard", "file"] = "standard"
    file: PathText | None = None
    ids: Annotated[tuple[PoseId, ...], Field(min_length=1, max_length=256)] = (
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
    )

    @model_validator(mode="after")
    def _file_given(self) -> PosesParams:
        if len(set(self.ids)) != len(self.ids):
            raise ValueError(f"poses.ids has a number twice: {list(self.ids)}")
        if (self.source == "file") != (self.file is not None):
            raise ValueError("poses.file must be set when, and only when, poses.source is 'file'")
        return self


class GenerateParams(_Section):
    """The generator, its sampling and the form in which pictures are stored."""

    generator: Literal["ipg", "controlnet"] = "ipg"
    model: PathText = "models/ipg-small"
    solver: Literal["ddim", "dpmpp", "unipc"] = "ddim"
    steps: Annotated[int, Field(ge=1, le=1000)] = 8
    guidance_scale: Annotated[float, Field(ge=1.0, le=50.0)] = 1.0
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    noise: Literal["per_pose", "per_image"] = "per_pose"
    seed: Seed = 12580
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

    height_px: Annotated[int, Field(ge=1, le=MAX_SIDE_PX)]
    width_px: Annotated[int, Field(ge=1, le=MAX_SIDE_PX)]
    channel_order: Literal["rgb", "bgr"] = "rgb"
    max_value: Scale = 1.0
    mean: tuple[Offset, Offset, Offset] = (0.0, 0.0, 0.0)
    std: tuple[Scale, Scale, Scale] = (1.0, 1.0, 1.0)


class FeaturesParams(_Section):
    """The feature network."""

    extractor: Literal["efficientnet_lite0", "onnx", "openvino", "ipg_identity"] = (
        "efficientnet_lite0"
    )
    model: PathText = "models/efficientnet-lite0"
    output: Text | None = None
    dim: Annotated[int, Field(ge=1, le=65536)] | None = None
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
    max_feature_drift: Annotated[float, Field(ge=0, le=1e6)] = 0.3
    max_map_drop: Fraction = 0.05


class FusionParams(_Section):
    """How the features of the generated pictures join the feature of the original."""

    reduce: Literal["mean", "sum", "max", "concat"] = "mean"
    eta: Eta = 2.0
    weights: Literal["uniform", "identity_similarity"] = "uniform"


class NfcParams(_Section):
    """Neighbour feature centralization."""

    k1: Neighbors = 2
    k2: Neighbors = 2
    search: Literal["exact", "hnsw", "ivf"] = "exact"
    memory_mib: Annotated[int, Field(ge=16, le=2**20)] = 256


class CentralizeParams(_Section):
    """Fusion and neighbour centralization."""

    fusion: FusionParams = FusionParams()
    nfc: NfcParams = NfcParams()


class RerankParams(_Section):
    """k-reciprocal re-ranking."""

    k1: Neighbors = 20
    k2: Neighbors = 6
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
    bootstrap_resamples: Annotated[int, Field(ge=100, le=1_000_000)] = 2000
    seed: Seed = 0


class ReportParams(_Section):
    """How much the report page shows."""

    identities: Shown = 24
    ranked_queries: Shown = 24
    map_points: Shown = 1500
    seed: Seed = 0


class TuneParams(_Section):
    """The search for fusion and centralization parameters on the train split."""

    split: str = "train"
    folds: Annotated[int, Field(ge=2, le=20)] = 3
    trials: Annotated[int, Field(ge=1, le=100_000)] = 60
    max_k: Annotated[int, Field(ge=1, le=1000)] = 10
    eta: tuple[Eta, Eta] = (0.25, 8.0)
    rerank: bool = False
    seed: Seed = 0

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

    splits: Annotated[tuple[Name, ...], Field(min_length=1, max_length=100)]
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
        for key, name in named.items():
            if name not in self.splits:
                raise ValueError(f"{key} is {name!r}, which is not among splits")
        if self.score.query == self.score.gallery:
            raise ValueError(
                f"score.query and score.gallery are both {self.score.query!r}: every query would "
                "find itself; name two different splits"
            )
        return self


def load_params(path: Path) -> Params:
    """Reads and validates a params file.

    Args:
        path: The YAML file.

    Returns:
        The validated parameters.

    Raises:
        ParamsError: The file is missing, is not YAML, gives a key twice, or a value is not
            allowed; the message lists every faulty key with what was given and what is allowed.
    """
    return parse_params(read_yaml(path), str(path))


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
    shown = _short.repr(given)
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown parameter (given {shown}); {_meant(item['loc'])}"
    if item["type"] == "missing":
        return f"{key}: required, but not given"
    if item["type"] == "int_parsing_size":
        return f"{key}: given {shown}; far beyond any number that is allowed here"
    return f"{key}: given {shown}; {item['msg'].removeprefix('Value error, ')}"


def _meant(loc: tuple[str | int, ...]) -> str:
    """What to do about an unknown key: the nearest known one where there is one."""
    section: Any = Params
    for part in loc[:-1]:
        field = next(
            (f for n, f in section.model_fields.items() if part in (n, f.alias)),
            None,
        )
        kinds = [] if field is None else [field.annotation, *get_args(field.annotation)]
        section = next((k for k in kinds if isinstance(k, type) and issubclass(k, _Section)), None)
        if section is None:
            return "remove it or correct its name"
    known = [field.alias or name for name, field in section.model_fields.items()]
    near = difflib.get_close_matches(str(loc[-1]), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"


_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 100
