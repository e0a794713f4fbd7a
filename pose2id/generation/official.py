"""The files that the method's authors published, brought into the names of our parts."""

from __future__ import annotations

import pickle
import pickletools
from pathlib import Path

import torch
from torch import Tensor

from pose2id.errors import WeightsError
from pose2id.generation.config import IpgConfig
from pose2id.generation.state_dicts import read_safetensors
from pose2id.pointers import pointer_at

OFFICIAL_FILES = {
    "vae": "sd-vae-ft-mse/diffusion_pytorch_model.safetensors",
    "identity": "transformer_20.pth",
    "refiner": "IFR.pth",
    "guider": "pose_guider.pth",
    "reference_unet": "reference_unet.pth",
    "denoising_unet": "denoising_unet.pth",
}

# Attention names that autoencoders had before diffusers 0.17; the published file still has them.
_OLD_VAE_NAMES = {
    ".query.": ".to_q.",
    ".key.": ".to_k.",
    ".value.": ".to_v.",
    ".proj_attn.": ".to_out.0.",
}


def read_official_part(folder: Path, part: str, config: IpgConfig) -> dict[str, Tensor]:
    """Reads one published file.

    Args:
        folder: Holds the five `.pth` files and `sd-vae-ft-mse/`.
        part: Which one, by the name of our part.
        config: The sizes of the model.

    Returns:
        A state dict in our names; its tensors are still mapped from the file.

    Raises:
        WeightsError: The file is missing, damaged, or needs code to be run.
    """
    path = folder / OFFICIAL_FILES[part]
    if not path.is_file():
        raise WeightsError(
            f"{path} is missing. The published model consists of "
            f"{', '.join(OFFICIAL_FILES.values())}."
        )
    if part == "vae":
        return _rename_vae(read_safetensors(path))
    state = {name.removeprefix("module."): tensor for name, tensor in _read_pickle(path).items()}
    if part == "identity":
        unused = _unused_identity_keys(config)
        state = {name: tensor for name, tensor in state.items() if not name.startswith(unused)}
    return state


def _read_pickle(path: Path) -> dict[str, Tensor]:
    if pointer := pointer_at(path):
        raise WeightsError(f"{path} {pointer}.")
    with path.open("rb") as stream:
        head = stream.read(4)
    is_zip = head == b"PK\x03\x04"  # older files are a bare pickle: no mapping
    if not is_zip and not head.startswith(b"\x80"):
        raise WeightsError(
            f"{path} is damaged or truncated, or no file of torch (it begins with {head!r}). Fetch "
            "or copy it again."
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        if not _wants_code(error, path):
            raise WeightsError(
                f"{path} is damaged or truncated ({str(error).splitlines()[0][:80]}). Fetch "
                "or copy it again."
            ) from error
        raise WeightsError(
            f"{path} is not a plain dict of tensors: reading it would run code that it contains, "
            f"which is refused ({str(error).splitlines()[0]}). Get a file of tensors only."
        ) from error
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else "it is empty"
        raise WeightsError(
            f"{path} is damaged or truncated ({reason}). Fetch or copy it again."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise WeightsError(
            f"{path} is not a plain state dict: a mapping of names to tensors is needed, as "
            "`torch.save(module.state_dict(), path)` writes it."
        )
    return state


def _unused_identity_keys(config: IpgConfig) -> tuple[str, ...]:
    """Weights that only training or classification needs: the branches replace the last block."""
    return (
        f"base.blocks.{config.identity.depth - 1}.",
        "base.norm.",
        "base.fc.",
        "classifier",
        "bottleneck",
    )


def _rename_vae(state: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in state.items():
        new_name = name
        if ".attentions." in name:
            for old, new in _OLD_VAE_NAMES.items():
                new_name = new_name.replace(old, new)
        renamed[new_name] = tensor
    return renamed


def _wants_code(error: pickle.UnpicklingError, path: Path) -> bool:
    """Whether the file is a whole pickle that names functions or classes; else it is damaged."""
    if "GLOBAL" in str(error):
        return True
    try:
        names = {op.name for op, _, _ in pickletools.genops(path.read_bytes())}
    except ValueError:
        return False
    return not names.isdisjoint({"GLOBAL", "STACK_GLOBAL", "INST"})
