"""The parameters of every stage: frozen, validated, with errors that name the key.

`params.yaml` is read once, by the command that runs a stage; everything below receives the
objects defined here.
"""

from __future__ import annotations

import dataclasses
import difflib
import reprlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from pose2id.choices import (
    Boxes,
    CameraNames,
    ChannelOrder,
    Consequence,
    Device,
    GeneratorName,
    Noise,
    PictureFormat,
    PoseSource,
    Precision,
    Protocol,
    QueryModality,
    Runner,
    Search,
    Severity,
    Solver,
    Status,
    Tracklets,
)
from pose2id.datasets.names import READER_OPTIONS, RETRACTED_READERS, ReaderName
from pose2id.errors import ParamsError
from pose2id.extractors.families import PRECOMPUTED, family_of, options_of
from pose2id.machine import n_cores
from pose2id.steps.base import auto_keys
from pose2id.steps.chain import (
    Chain,
    check_chain,
    feature_chain,
    is_transductive,
    scoring_step,
)
from pose2id.steps.registry import SCORING_STEPS, STEPS
from tasks.tables.yaml_file import read_yaml

NO_SECOND = "none"  # of features.second
MAX_ETA = 1000.0  # more drowns the original's feature in float32
MAX_SIDE_PX = 8192

Seed = Annotated[int, Field(ge=0, lt=2**63)]
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
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation not in (
            bool,
            bool | None,
        ):
            raise ValueError("true and false are not allowed here")
        return value


class DatasetOptions(_Section):
    """What a single layout lets choose; `None` is the layout's own default."""

    boxes: Boxes | None = None
    join_val: bool | None = None
    trial: Annotated[int, Field(ge=1, le=10)] | None = None
    query_modality: QueryModality | None = None
    cameras: CameraNames | None = None

    def given(self) -> dict[str, object]:
        """The options that are set."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


class DatasetParams(_Section):
    """Where the images are, how their names are read and what may be done with them."""

    name: Name
    reader: ReaderName
    root: PathText
    licence: Text
    status: Status
    allow_retracted: bool = False
    follow_links: bool = False
    distractor_pids: tuple[Int32, ...] | None = None
    junk_pids: tuple[Int32, ...] | None = None
    options: DatasetOptions = DatasetOptions()

    @model_validator(mode="after")
    def _refuse_retracted(self) -> DatasetParams:
        retracted = (
            self.status == "retracted" or "duke" in self.name or self.reader in RETRACTED_READERS
        )
        if retracted and not self.allow_retracted:
            raise ValueError(
                f"the dataset {self.name!r} was retracted by its authors; use another one, or set "
                "dataset.allow_retracted to true if you are entitled to use it"
            )
        return self

    @model_validator(mode="after")
    def _options_of_reader(self) -> DatasetParams:
        allowed = READER_OPTIONS.get(self.reader, ())
        for name in self.options.given():
            if name not in allowed:
                raise ValueError(
                    f"dataset.options.{name} is no option of the reader {self.reader!r}, which has "
                    f"{', '.join(allowed) or 'none'}; set it to null"
                )
        return self


class IndexParams(_Section):
    """What counts as a usable image."""

    min_side_px: Annotated[int, Field(ge=1, le=MAX_SIDE_PX)] = 8
    max_pixels: Annotated[int, Field(ge=1, lt=2**31)] = 50_000_000
    max_reject_rate: Fraction = 0.05


class PosesParams(_Section):
    """The poses in which every image is re-drawn."""

    source: PoseSource = "standard"
    file: PathText | None = None
    split: Name = "train"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0  # as scikit-learn takes them
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

    generator: GeneratorName = "ipg"
    model: PathText = "models/ipg-small"
    solver: Solver = "ddim"
    steps: Annotated[int, Field(ge=1, le=1000)] = 1
    guidance_scale: Annotated[float, Field(ge=1.0, le=50.0)] = 1.0
    precision: Precision = "float32"
    noise: Noise = "per_pose"
    seed: Seed = 12580
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
    """The input that a network wants."""

    height_px: Annotated[int, Field(ge=1, le=MAX_SIDE_PX)]
    width_px: Annotated[int, Field(ge=1, le=MAX_SIDE_PX)]
    channel_order: ChannelOrder = "rgb"
    max_value: Scale = 1.0
    mean: tuple[Offset, Offset, Offset] = (0.0, 0.0, 0.0)
    std: tuple[Scale, Scale, Scale] = (1.0, 1.0, 1.0)


# Each family has its own narrower bounds.
Option = bool | Annotated[int, Field(ge=0, le=1_000_000)] | Annotated[str, Field(max_length=1000)]


def _pairs(options: Any) -> Any:  # noqa: ANN401 - a mapping from YAML; whatever else, pydantic says
    """A mapping as pairs, so that parameters can be hashed."""
    return tuple(options.items()) if isinstance(options, dict) else options or ()


class FeaturesParams(_Section):
    """The feature network."""

    extractor: str = "efficientnet_lite0"
    options: Annotated[tuple[tuple[str, Option], ...], BeforeValidator(_pairs)] = ()
    model: PathText = "models/efficientnet-lite0"
    output: Text | None = None
    dim: Annotated[int, Field(ge=1, le=65536)] | None = None
    input: InputSpecParams | None = None
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 16
    second: str = NO_SECOND
    second_model: PathText = "models/ipg-small"

    @field_validator("extractor", "second")
    @classmethod
    def _known(cls, value: str, info: ValidationInfo) -> str:
        if info.field_name == "second" and value == NO_SECOND:
            return value
        try:
            family = family_of(value)
        except ParamsError as error:
            raise ValueError(str(error)) from None
        if info.field_name == "second" and (family.needs_input or value == PRECOMPUTED):
            raise ValueError(
                f"features.second is {value!r}, which its files alone do not describe; name a "
                "network whose files do, such as ipg_identity, or none"
            )
        return value

    @property
    def of_second(self) -> FeaturesParams | None:
        """The second network, as if it were the only one; None without."""
        if self.second == NO_SECOND:
            return None
        return FeaturesParams(
            extractor=self.second, model=self.second_model, batch_size=self.batch_size
        )

    @model_validator(mode="after")
    def _of_a_family(self) -> FeaturesParams:
        try:
            options_of(self.extractor, dict(self.options))
        except ParamsError as error:
            raise ValueError(str(error)) from None
        if family_of(self.extractor).needs_input and self.input is None:
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
    min_pose_pck: Fraction | None = None
    min_identity_similarity: Annotated[float, Field(ge=-1, le=1)] = -1.0
    max_collapsed_fraction: Fraction = 0.5
    max_feature_drift: Annotated[float, Field(ge=0, le=1e6)] = 0.3
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


class _CentralizeSection(_StepSections):
    """What is centralized, and the parameters of steps on features."""

    tracklets: Tracklets = "none"

    @model_validator(mode="before")
    @classmethod
    def _auto_where_not_given(cls, raw: object) -> object:
        """What the train split can decide, it decides, unless a value is given."""
        if not isinstance(raw, dict):
            return raw
        filled = dict(raw)
        for name, step in STEPS.items():
            section = filled.get(name, {})
            if step.choosable and isinstance(section, dict):
                filled[name] = {**dict.fromkeys(step.choosable, "auto"), **section}
        return filled


if TYPE_CHECKING:
    CentralizeParams = _CentralizeSection
else:
    CentralizeParams = create_model(
        "CentralizeParams",
        __base__=_CentralizeSection,
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
    seed: Seed = 0


if TYPE_CHECKING:
    ScoreParams = _ScoreSection
else:
    ScoreParams = create_model(
        "ScoreParams",
        __base__=_ScoreSection,
        **{name: (step.params, step.params()) for name, step in SCORING_STEPS.items()},
    )


class AuditParams(_Section):
    """What is looked for among the labels and pictures."""

    variant: str | None = None
    k: Annotated[int, Field(ge=1, le=1000)] = 6
    min_similarity: Fraction = 0.98
    search: Search = "exact"


class ReportParams(_Section):
    """How much of it all the report shows with pictures."""

    identities: Shown = 24
    ranked_queries: Shown = 200
    map_points: Shown = 1500
    seed: Seed = 0


class TuneParams(_Section):
    """What the stage `choose` and `pose2id tune` look at on the train split."""

    split: str = "train"
    steps: Annotated[tuple[str, ...], Field(max_length=20)] = (
        "fuse",
        "camera_normalize",
        "second_opinion",
        "nfc",
    )
    eta: tuple[Eta, Eta] = (0.25, 8.0)
    n_eta: Annotated[int, Field(ge=2, le=100)] = 6
    max_k: Annotated[int, Field(ge=1, le=1000)] = 10
    queries_per_person: Annotated[int, Field(ge=1, le=1000)] = 2
    seed: Seed = 0

    @field_validator("steps")
    @classmethod
    def _known_steps(cls, value: tuple[str, ...]) -> Chain:
        if len(set(value)) != len(value) or any(step not in STEPS for step in value):
            raise ValueError(f"must be steps on features, each once: {', '.join(STEPS)}")
        return value

    @field_validator("eta")
    @classmethod
    def _eta_range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] < value[1]:
            raise ValueError("must be two numbers, 0 < lowest < highest")
        return value


class RuntimeParams(_Section):
    """How the work is spread; on one machine nothing but the device changes an output byte."""

    runner: Runner = "threads"
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
    "all": ("fuse", "camera_normalize", "nfc"),
    "all_rerank": ("fuse", "camera_normalize", "nfc", "rerank"),
}


class Params(_Section):
    """All of params.yaml."""

    variants: Annotated[
        dict[Name, Annotated[tuple[str, ...], Field(max_length=20)]], Field(max_length=100)
    ] = VARIANTS
    splits: Annotated[tuple[Name, ...], Field(min_length=1, max_length=100)]
    shards: int = 8
    dataset: DatasetParams
    index: IndexParams = IndexParams()
    poses: PosesParams = PosesParams()
    generate: GenerateParams = GenerateParams()
    features: FeaturesParams = FeaturesParams()
    validate_: ValidateParams = Field(default=ValidateParams(), alias="validate")
    centralize: CentralizeParams = CentralizeParams()
    audit: AuditParams = AuditParams()
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

    @property
    def audited_variant(self) -> str:
        """Whose features the labels are compared with: joining neighbours would hide errors.

        Unless one is named, the last variant whose features do not depend on other images.
        """
        if self.audit.variant is not None:
            return self.features_of(self.audit.variant)
        return [name for name, steps in self.variants.items() if not is_transductive(steps)][-1]

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
        if self.poses.source == "dataset":
            named["poses.split"] = self.poses.split
        for key, name in named.items():
            if name not in self.splits:
                raise ValueError(f"{key} is {name!r}, which is not among splits")
        if self.score.query == self.score.gallery:
            raise ValueError(
                f"score.query and score.gallery are both {self.score.query!r}: every query would "
                "find itself; name two different splits"
            )
        if self.audit.variant not in (None, *self.variants):
            raise ValueError(
                f"audit.variant is {self.audit.variant!r}; variants has {', '.join(self.variants)}"
            )
        used = {step for steps in self.variants.values() for step in feature_chain(steps)}
        if "second_opinion" in used and self.features.second == NO_SECOND:
            raise ValueError(
                "a variant has second_opinion, but features.second is none: set it to "
                "ipg_identity, the generator's own identity network, or to another network"
            )
        for name in sorted(used):
            role = getattr(self.centralize.step(name), "reference", "own")
            if role not in ("own", *self.references):
                raise ValueError(
                    f"centralize.{name}.reference is {role!r}, but there is no such split"
                )
            keys = auto_keys(self.centralize.step(name))
            if keys and name not in self.tune.steps:
                raise ValueError(
                    f"centralize.{name}.{keys[0]} is auto, but tune.steps lacks {name!r}, so "
                    "nobody chooses it: add the step there, or give a value"
                )
        if "split" in self.tune.model_fields_set and self.tune.split not in self.splits:
            raise ValueError(
                f"tune.split is {self.tune.split!r}, which is not among splits "
                f"({', '.join(self.splits)}): name a split of other people; without one name the "
                "gallery, and `auto` is the safe chain"
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


def with_features(params: Params, changes: dict[str, Any]) -> Params:
    """Parameters with some values of the section `features` replaced, validated again.

    Raises:
        ParamsError: A value is not allowed.
    """
    if not changes:
        return params
    kept = params.features.model_dump(exclude={"options"})
    features = {**kept, "options": dict(params.features.options), **changes}
    if "extractor" in changes and "options" not in changes:
        features["options"] = {}  # those of another family
    raw = {**params.model_dump(by_alias=True, exclude_unset=True), "features": features}
    return parse_params(raw, "the command line")


def _explain(item: Any) -> str:  # noqa: ANN401 - pydantic's error records are untyped
    key = ".".join(str(part) for part in item["loc"]) or "params"
    if isinstance(item.get("ctx", {}).get("error"), ParamsError):  # a step's, which names its key
        return ".".join([*map(str, item["loc"][:-1]), item["msg"].removeprefix("Value error, ")])
    given = item["input"] if not isinstance(item["input"], dict) else "this section"
    shown = _short.repr(given)
    if item["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
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
        kinds = _fields(section).get(str(part), ())
        section = next((kind for kind in kinds if _fields(kind)), None)
    known = list(_fields(section))
    near = difflib.get_close_matches(str(loc[-1]), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"


def _fields(section: Any) -> dict[str, tuple[Any, ...]]:  # noqa: ANN401 - a model, a step's, or none
    """Key -> the types its value may have, of a section or of a step's parameters."""
    if isinstance(section, type) and issubclass(section, BaseModel):
        return {
            field.alias or name: (field.annotation, *get_args(field.annotation))
            for name, field in section.model_fields.items()
        }
    if isinstance(section, type) and dataclasses.is_dataclass(section):
        return {field.name: () for field in dataclasses.fields(section)}
    return {}


_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 100
