"""Every feature network that can be named, and the options that each takes.

The one list of names: `params.yaml` is checked against it, `load_extractor` looks here for the
loader. Nothing heavy is imported before a network is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from pose2id.errors import ParamsError

Side = Literal["none", "camera", "modality"]
_LIBRARY_NAME: Final = re.compile(r"[A-Za-z0-9_.]+")


@dataclass(frozen=True, slots=True)
class NoOptions:
    """Of networks that need nothing but their files."""


@dataclass(frozen=True, slots=True)
class ExportedOptions:
    """Of ONNX and OpenVINO networks.

    Attributes:
        file: Name of the network inside the folder `features.model`; `""` where it is the only
            one.
    """

    file: str = ""


@dataclass(frozen=True, slots=True)
class TorchOptions:
    """Of any torch network.

    Attributes:
        module: `file.py:function` (inside the folder `features.model`) or
            `package.module:function`; called without arguments, returns the `nn.Module`. `""` for
            TorchScript and `.pt2` programs, which hold the network themselves.
        weights: Name of the weights inside the folder; `""` where it is the only such file.
        strip: Prefix that is taken off every key of the state dict, such as `module.`.
        drop: Beginnings of keys that only training needs, separated by commas.
        trusted: Whether a file that can run code of its own (TorchScript, `.pt2`) may be opened.
    """

    module: str = ""
    weights: str = ""
    strip: str = ""
    drop: str = ""
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class LibraryOptions:
    """Of `timm:<name>` and `torchvision:<name>`.

    Attributes:
        strip: Prefix that is taken off every key of the state dict.
        drop: Beginnings of keys that are left out, separated by commas; the library's classifier
            always is.
    """

    strip: str = ""
    drop: str = ""


@dataclass(frozen=True, slots=True)
class TransReidOptions:
    """Of TransReID.

    Attributes:
        stride: Step between patches, 12 (overlapping) or 16.
        jpm: Whether the checkpoint has the jigsaw branch (`b1`, `b2`).
        size: `base` (768 wide) or `small` (DeiT-S, 384 wide).
        cameras: Cameras that the checkpoint knows (its SIE embedding); 0 = none.
        camera_embedding: `originals`: pictures of the dataset are given their camera, drawings
            none, as the method's authors advise; `none`: neither.
    """

    stride: int = 12
    jpm: bool = True
    size: str = "base"
    cameras: int = 0
    camera_embedding: str = "originals"


@dataclass(frozen=True, slots=True)
class ClipReidOptions:
    """Of CLIP-ReID.

    Attributes:
        backbone: `vit` (CLIP ViT-B/16) or `cnn` (CLIP ResNet-50).
        stride: Step between patches of the ViT, 16 or 12.
        cameras: Cameras that the checkpoint knows (`cv_embed`); 0 = none.
        camera_embedding: As for TransReID.
    """

    backbone: str = "vit"
    stride: int = 16
    cameras: int = 0
    camera_embedding: str = "originals"


@dataclass(frozen=True, slots=True)
class PersonVitOptions:
    """Of PersonViT.

    Attributes:
        size: `tiny`, `small` or `base` (192, 384 or 768 wide).
        stride: Step between patches.
    """

    size: str = "base"
    stride: int = 16


@dataclass(frozen=True, slots=True)
class OsnetOptions:
    """Of OSNet.

    Attributes:
        variant: `x0_25`, `x0_5`, `x0_75`, `x1_0`, `ibn_x1_0` or `ain_x1_0`.
    """

    variant: str = "x1_0"


@dataclass(frozen=True, slots=True)
class SaaiOptions:
    """Of SAAI.

    Attributes:
        parts: Part tokens: 6 for SYSU-MM01, 7 for RegDB.
        modality_attention: 0, 1 or 2 attention modules, as the checkpoint was trained.
    """

    parts: int = 6
    modality_attention: int = 2


@dataclass(frozen=True, slots=True)
class Family:
    """What a name stands for.

    Attributes:
        module: Module of `pose2id.extractors` whose function `load` makes the network.
        options: Class of its options.
        needs_input: Whether the input must be declared, because the files do not tell it.
    """

    module: str
    options: type = NoOptions
    needs_input: bool = False


FAMILIES: Final[Mapping[str, Family]] = {
    "efficientnet_lite0": Family("efficientnet"),
    "onnx": Family("onnx", ExportedOptions, needs_input=True),
    "openvino": Family("openvino", ExportedOptions, needs_input=True),
    "torch": Family("torch_module", TorchOptions, needs_input=True),
    "transreid": Family("transreid", TransReidOptions),
    "clip_reid": Family("clip_reid", ClipReidOptions),
    "pmt": Family("pmt"),
    "personvit": Family("personvit", PersonVitOptions),
    "osnet": Family("osnet", OsnetOptions),
    "isr": Family("isr"),
    "saai": Family("saai", SaaiOptions),
    "reid_folder": Family("reid_folder"),
    "ipg_identity": Family("ipg_identity"),
    "precomputed": Family(""),
}
PRECOMPUTED: Final = "precomputed"  # features are given, there is no network
# `timm:<name>`, `torchvision:<name>`: the architecture is the library's, the weights are a file.
LIBRARIES: Final[Mapping[str, Family]] = {
    "timm": Family("libraries", LibraryOptions, needs_input=True),
    "torchvision": Family("libraries", LibraryOptions, needs_input=True),
}
_CHOICES: Final[Mapping[str, tuple[object, ...]]] = {
    "TransReidOptions.stride": (12, 16),
    "TransReidOptions.size": ("base", "small"),
    "TransReidOptions.camera_embedding": ("originals", "none"),
    "ClipReidOptions.backbone": ("vit", "cnn"),
    "ClipReidOptions.stride": (12, 16),
    "ClipReidOptions.camera_embedding": ("originals", "none"),
    "PersonVitOptions.size": ("tiny", "small", "base"),
    "PersonVitOptions.stride": (12, 16),
    "OsnetOptions.variant": ("x0_25", "x0_5", "x0_75", "x1_0", "ibn_x1_0", "ain_x1_0"),
    "SaaiOptions.parts": tuple(range(1, 17)),
    "SaaiOptions.modality_attention": (0, 1, 2),
}
_MAX_CAMERAS: Final = 10_000


def family_of(name: str) -> Family:
    """The family that a name stands for.

    Args:
        name: One of `FAMILIES`, `timm:<name>` or `torchvision:<name>`.

    Returns:
        The family.

    Raises:
        ParamsError: There is no such name.

    Example:
        >>> family_of("timm:resnet50").module
        'libraries'
    """
    library, _, architecture = name.partition(":")
    if library in LIBRARIES and _LIBRARY_NAME.fullmatch(architecture):
        return LIBRARIES[library]
    if name in FAMILIES:
        return FAMILIES[name]
    known = [*FAMILIES, *(f"{prefix}:<name>" for prefix in LIBRARIES)]
    raise ParamsError(f"there is no extractor {name!r}; choose one of {', '.join(known)}")


def options_of(name: str, given: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the family's class
    """The options of a network, checked.

    Args:
        name: As for `family_of`.
        given: Values by name; what is left out keeps its default.

    Returns:
        An instance of the family's class of options.

    Raises:
        ParamsError: An option is unknown, or its value not allowed.

    Example:
        >>> options_of("osnet", {"variant": "x0_25"})
        OsnetOptions(variant='x0_25')
    """
    kind = family_of(name).options
    defaults: dict[str, Any] = {field.name: field.default for field in fields(kind)}
    for key, value in given.items():
        where = f"features.options.{key} of the extractor {name!r}"
        if key not in defaults:
            allowed = ", ".join(defaults) or "none at all"
            raise ParamsError(f"{where} is unknown; allowed: {allowed}")
        if type(value) is not type(defaults[key]):
            wanted = type(defaults[key]).__name__
            raise ParamsError(f"{where} is {value!r}; a value of type {wanted} is needed")
        choices = _CHOICES.get(f"{kind.__name__}.{key}")
        if choices is not None and value not in choices:
            raise ParamsError(f"{where} is {value!r}; allowed: {', '.join(map(str, choices))}")
        if key == "cameras" and not 0 <= value <= _MAX_CAMERAS:
            raise ParamsError(f"{where} is {value}; 0 to {_MAX_CAMERAS} is allowed")
    return kind(**given)
