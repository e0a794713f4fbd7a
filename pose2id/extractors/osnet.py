"""OSNet in all its widths, with instance normalisation (`ibn`, `ain`) or without.

Source: Zhou et al., Omni-Scale Feature Learning for Person Re-Identification, ICCV 2019, and
Learning Generalisable Omni-Scale Representations, TPAMI 2021. Parameter names are torchreid's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pose2id.extractors.base import IMAGENET_MEAN, IMAGENET_STD, InputSpec, Request
from pose2id.extractors.families import OsnetOptions
from pose2id.extractors.network import TorchExtractor
from pose2id.extractors.weights import STATE_SUFFIXES, build, drop_keys, find_file, read_state

INPUT_SPEC: Final = InputSpec(256, 128, mean=IMAGENET_MEAN, std=IMAGENET_STD)
FEATURE_DIM: Final = 512
HEAD: Final = (r"classifier\.",)
_GATE_REDUCTION: Final = 16
_STREAMS: Final = 4
# Where the blocks of `ain` normalise each picture inside the residual, stage by stage.
_AIN_INSIDE: Final = ((True, True), (False, True), (True, False))


@dataclass(frozen=True, slots=True)
class Variant:
    """Channels of the stem and the three stages, and where instances are normalised."""

    channels: tuple[int, int, int, int]
    ibn: bool = False
    ain: bool = False


VARIANTS: Final = {
    "x0_25": Variant((16, 64, 96, 128)),
    "x0_5": Variant((32, 128, 192, 256)),
    "x0_75": Variant((48, 192, 288, 384)),
    "x1_0": Variant((64, 256, 384, 512)),
    "ibn_x1_0": Variant((64, 256, 384, 512), ibn=True),
    "ain_x1_0": Variant((64, 256, 384, 512), ain=True),
}


class _Conv(nn.Module):
    """Convolution and normalisation, then ReLU where asked for."""

    def __init__(
        self, n_in: int, n_out: int, kernel: int = 1, stride: int = 1, *, relu: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, kernel, stride, padding=kernel // 2, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(n_out)
        self._relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return F.relu(x) if self._relu else x


class _LightConv(nn.Module):
    """A 1x1 and a depthwise 3x3 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.bn = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv2(self.conv1(x))))


class _Gate(nn.Module):
    """Weighs channels by what the whole picture shows; all streams share it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, width // _GATE_REDUCTION, 1)
        self.fc2 = nn.Conv2d(width // _GATE_REDUCTION, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = x.mean(dim=(2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(pooled))))


class _Block(nn.Module):
    """Four streams of growing depth, gated and summed, beside a shortcut.

    Args:
        n_in: Channels in.
        n_out: Channels out.
        ain: Whether streams are named as in `ain` checkpoints.
        inside: Normalise each picture before the shortcut is added (then without the last
            convolution's own normalisation).
        after: Normalise each picture after it.
    """

    def __init__(self, n_in: int, n_out: int, *, ain: bool, inside: bool, after: bool) -> None:
        super().__init__()
        width = n_out // 4
        self.conv1 = _Conv(n_in, width)
        depths = [[_LightConv(width) for _ in range(n + 1)] for n in range(_STREAMS)]
        if ain:
            self.conv2 = nn.ModuleList(
                nn.ModuleDict({"layers": nn.Sequential(*layers)}) for layers in depths
            )
        else:
            self.conv2a = depths[0][0]
            self.conv2b, self.conv2c, self.conv2d = (nn.Sequential(*d) for d in depths[1:])
        self._ain = ain
        self.gate = _Gate(width)
        self.conv3 = _Conv(width, n_out, relu=False)
        if inside:
            self.conv3.bn = nn.Identity()
        self.downsample = _Conv(n_in, n_out, relu=False) if n_in != n_out else nn.Identity()
        self._inside, self._after = inside, after
        if inside or after:
            self.IN = nn.InstanceNorm2d(n_out, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.conv1(x)
        if self._ain:
            streams = [stream.get_submodule("layers") for stream in self.conv2]
        else:
            streams = [self.conv2a, self.conv2b, self.conv2c, self.conv2d]
        mixed = self.conv3(sum(self.gate(stream(narrow)) for stream in streams))
        if self._inside:
            mixed = self.IN(mixed)
        out = mixed + self.downsample(x)
        return F.relu(self.IN(out) if self._after else out)


class Osnet(nn.Module):
    """Maps `(B, 3, H, W)` to `(B, 512)`.

    Args:
        variant: Its channels and normalisations.
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        stem, *stages = variant.channels
        self.conv1 = _Conv(3, stem, 7, 2)
        if variant.ibn or variant.ain:
            self.conv1.bn = nn.InstanceNorm2d(stem, affine=True)
        n_in = stem
        for number, n_out in enumerate(stages):
            blocks: list[nn.Module] = [
                _Block(
                    n_in if first else n_out,
                    n_out,
                    ain=variant.ain,
                    inside=variant.ain and _AIN_INSIDE[number][0 if first else 1],
                    after=variant.ibn and number == 0,
                )
                for first in (True, False)
            ]
            shrink = nn.Sequential(_Conv(n_out, n_out), nn.AvgPool2d(2)) if number < 2 else None
            if shrink is not None and variant.ain:
                self.add_module(f"pool{number + 2}", shrink)
            elif shrink is not None:
                blocks.append(shrink)
            self.add_module(f"conv{number + 2}", nn.Sequential(*blocks))
            n_in = n_out
        self.conv5 = _Conv(n_in, n_in)
        self.fc = nn.Sequential(nn.Linear(n_in, FEATURE_DIM), nn.BatchNorm1d(FEATURE_DIM))
        between = ("conv2", "pool2", "conv3", "pool3", "conv4")
        self._stages = [name for name in between if hasattr(self, name)]

    def forward(self, images: Tensor) -> Tensor:
        """Maps pictures to features."""
        x = F.max_pool2d(self.conv1(images), 3, stride=2, padding=1)
        for name in self._stages:
            x = self.get_submodule(name)(x)
        pooled = self.conv5(x).mean(dim=(2, 3))
        return F.relu(self.fc(pooled))


def load(request: Request) -> TorchExtractor:
    """Loads a checkpoint of torchreid.

    Raises:
        WeightsError: It does not fit: other keys or widths.
    """
    options: OsnetOptions = request.options
    path = find_file(request.model, STATE_SUFFIXES, "", "features.model")
    spec = request.input_spec or INPUT_SPEC
    state = drop_keys(read_state(path), HEAD)
    network = build(lambda: Osnet(VARIANTS[options.variant]), state, str(path))
    return TorchExtractor.of_checkpoint(request, network, spec, (path,))
