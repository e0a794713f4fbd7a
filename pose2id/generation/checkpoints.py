"""Reading and writing IPG weights: our own folder and the five published files.

Our folder holds `config.json` and one safetensors file per part. `config.json` is written last and
names the digest of every part, so that a folder whose writing was interrupted, or whose file was
damaged, is recognised. The published files are plain state dicts.

Parts are read one at a time into a model without storage, so that never more than one copy of the
weights is in memory.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pose2id.errors import WeightsError
from pose2id.generation.config import IpgConfig, official_config
from pose2id.generation.model import PARTS, IpgModel
from pose2id.generation.official import read_official_part
from pose2id.generation.state_dicts import check_state, digest_of, read_safetensors
from pose2id.pointers import pointer_at

log = logging.getLogger(__name__)

CONFIG_FILE = "config.json"
FORMAT = "pose2id-ipg-1"

_ReadPart = Callable[[str], dict[str, Tensor]]


class LoadedModel(NamedTuple):
    """A model and what its weights and configuration hash to.

    Attributes:
        model: In evaluation mode, without gradients.
        fingerprint: Hex sha256; the same for the published files and for their conversion in
            full precision, wherever they lie.
    """

    model: IpgModel
    fingerprint: str


def load_model(
    folder: Path, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> LoadedModel:
    """Loads a model from our own folder.

    Args:
        folder: Holds `config.json` and one safetensors file per part.
        device: Where the weights go.
        dtype: What they are converted to; half precision on disk is fine.

    Returns:
        The model and its fingerprint.

    Raises:
        WeightsError: A file is missing, damaged or does not fit the configuration.
        ParamsError: The configuration itself is not valid.
    """
    config, digests = _read_config(folder)
    loaded = _load(config, lambda part: _read_part(folder, part), PARTS, device, dtype)
    for part, digest in loaded.digests.items():
        _check_digest(folder, part, digest, digests)
    return LoadedModel(loaded.model, _fingerprint(config, loaded.digests))


def load_part(
    folder: Path,
    part: str,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> tuple[nn.Module, str]:
    """Loads one part of our own folder, for example `identity` to extract features with.

    Args:
        folder: Holds `config.json` and the part's safetensors file.
        part: One of `PARTS`.
        device: Where the weights go.
        dtype: What they are converted to.

    Returns:
        The network in evaluation mode, without gradients, and the sha256 of its weights and the
        configuration.

    Raises:
        WeightsError: A file is missing, damaged or does not fit the configuration.
    """
    config, digests = _read_config(folder)
    loaded = _load(config, lambda name: _read_part(folder, name), (part,), device, dtype)
    _check_digest(folder, part, loaded.digests[part], digests)
    module: nn.Module = loaded.model.get_submodule(part)
    return module, _fingerprint(config, loaded.digests)


def load_official(
    folder: Path,
    *,
    config: IpgConfig | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> LoadedModel:
    """Loads the published files as they are; `convert_official` makes later starts simpler.

    Args:
        folder: Holds the five `.pth` files and `sd-vae-ft-mse/`.
        config: The sizes of the model; None means those of the published one.
        device: Where the weights go.
        dtype: What they are converted to.

    Returns:
        The model and its fingerprint.

    Raises:
        WeightsError: A file is missing, damaged, needs code to be run, or lacks or exceeds the
            expected keys and shapes.
    """
    config = config or official_config()
    loaded = _load(
        config, lambda part: read_official_part(folder, part, config), PARTS, device, dtype
    )
    return LoadedModel(loaded.model, _fingerprint(config, loaded.digests))


def convert_official(
    source: Path,
    target: Path,
    *,
    config: IpgConfig | None = None,
    dtype: torch.dtype = torch.float32,
    on_part: Callable[[str], None] = lambda part: None,
) -> str:
    """Rewrites the published files as our own folder, one part at a time.

    Args:
        source: Holds the five `.pth` files and `sd-vae-ft-mse/`.
        target: Folder to write; created where needed.
        config: The sizes of the model; None means those of the published one.
        dtype: Precision on disk.
        on_part: Called with the name of each part that was read.

    Returns:
        The fingerprint of the converted model.

    Raises:
        WeightsError: As `load_official`.
    """
    config = config or official_config()
    skeleton = _empty_model(config)

    def read(part: str) -> dict[str, Tensor]:
        state = read_official_part(source, part, config)
        check_state(skeleton.get_submodule(part), state, f"the published {part}")
        on_part(part)
        return state

    return _write(config, read, target, dtype)


def save_model(model: IpgModel, folder: Path, *, dtype: torch.dtype = torch.float16) -> str:
    """Writes a model as our own folder; other files there are left alone.

    A kill at any moment leaves each file whole. A folder that mixes parts of two models is
    recognised when it is read, because `config.json` comes last and names every part's digest.

    Args:
        model: The model.
        folder: Folder to write; created where needed.
        dtype: Precision on disk.

    Returns:
        The fingerprint of what was written.
    """
    return _write(
        model.config, lambda part: dict(model.get_submodule(part).state_dict()), folder, dtype
    )


class _Loaded(NamedTuple):
    model: IpgModel
    digests: dict[str, str]


def _load(
    config: IpgConfig,
    read: _ReadPart,
    parts: tuple[str, ...],
    device: torch.device | str,
    dtype: torch.dtype,
) -> _Loaded:
    model = _empty_model(config)
    digests = {}
    for part in parts:
        state = read(part)
        module = model.get_submodule(part)
        check_state(module, state, part)
        digests[part] = digest_of(state)
        for name in list(state):  # one tensor at a time: the file's copy goes as ours comes
            state[name] = state[name].to(device=device, dtype=dtype)
        module.load_state_dict(state, assign=True)
        log.info("loaded %s (%d tensors)", part, len(state))
    return _Loaded(model.eval().requires_grad_(False), digests)


def _write(config: IpgConfig, read: _ReadPart, folder: Path, dtype: torch.dtype) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    digests = {}
    for part in PARTS:
        state = {
            name: tensor.detach().to(device="cpu", dtype=dtype).contiguous()
            for name, tensor in read(part).items()
        }
        digests[part] = digest_of(state)
        temporary = folder / f".{part}.tmp"
        save_file(state, temporary)
        _publish(temporary, _part_file(folder, part))
    content = {"format": FORMAT, "model": config.model_dump(mode="json"), "digests": digests}
    temporary = folder / f".{CONFIG_FILE}.tmp"
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    _publish(temporary, folder / CONFIG_FILE)
    return _fingerprint(config, digests)


def _publish(temporary: Path, final: Path) -> None:
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    # What safetensors writes is for the owner alone: give it the rights that the umask leaves.
    probe = temporary.with_suffix(".rights")
    probe.touch()
    temporary.chmod(stat.S_IMODE(probe.stat().st_mode))
    probe.unlink()
    temporary.replace(final)


def _part_file(folder: Path, part: str) -> Path:
    return folder / f"{part}.safetensors"


def _read_config(folder: Path) -> tuple[IpgConfig, dict[str, str]]:
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise WeightsError(
            f"{folder} holds no {CONFIG_FILE}. Give the folder of a trained or converted model; "
            "published .pth files have to be converted first."
        )
    if pointer := pointer_at(path):
        raise WeightsError(f"{path} {pointer}.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is not JSON ({error}). Save or convert it again.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise WeightsError(
            f'{path} does not say "format": "{FORMAT}"; it is another kind of model.'
        )
    config = IpgConfig.from_json(json.dumps(content.get("model")))
    digests = content.get("digests")
    if not isinstance(digests, dict) or not all(isinstance(v, str) for v in digests.values()):
        raise WeightsError(
            f"{path} must name a digest per part under `digests`, got {str(digests)[:80]}. Save or "
            "convert the model again."
        )
    return config, digests


def _read_part(folder: Path, part: str) -> dict[str, Tensor]:
    path = _part_file(folder, part)
    if not path.is_file():
        raise WeightsError(f"{path} is missing. Every part needs its file: {', '.join(PARTS)}.")
    return read_safetensors(path)


def _check_digest(folder: Path, part: str, digest: str, digests: Mapping[str, str]) -> None:
    if digests.get(part) != digest:
        raise WeightsError(
            f"{_part_file(folder, part)} is not the file that {CONFIG_FILE} was written with "
            f"(sha256 of its tensors {digest[:12]}, expected {str(digests.get(part))[:12]}): it "
            "was changed, or saving was interrupted. Save or convert the model again."
        )


def _empty_model(config: IpgConfig) -> IpgModel:
    try:
        with torch.device("meta"):
            return IpgModel(config)
    except (ValueError, RuntimeError, TypeError, ArithmeticError, LookupError) as error:
        raise WeightsError(
            f"no network can be built with the sizes in {CONFIG_FILE}: {error}. Save or convert "
            "the model again."
        ) from error


def _fingerprint(config: IpgConfig, digests: Mapping[str, str]) -> str:
    content = {"model": config.model_dump(mode="json"), "digests": dict(digests)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
