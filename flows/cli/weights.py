"""Fetches or converts the published model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import setup_logging, show
from flows.cli.project import as_given
from pose2id.errors import ParamsError, WeightsError

app = typer.Typer(no_args_is_help=True)

# Repository and files of each published part, by name on the Hugging Face hub. No revision or
# digest has been published; --revision pins one, and what was fetched is recorded.
SOURCES = {
    "yuanc3/Pose2ID": (
        "transformer_20.pth",
        "IFR.pth",
        "pose_guider.pth",
        "reference_unet.pth",
        "denoising_unet.pth",
    ),
    "stabilityai/sd-vae-ft-mse": ("config.json", "diffusion_pytorch_model.safetensors"),
}
MODELS = ("pose2id",)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="pose2id")],
    target: Annotated[
        Path, typer.Option(help="Folder for the model in our layout.", callback=as_given)
    ] = Path("models/pose2id"),
    revision: Annotated[str, typer.Option(help="Commit of yuanc3/Pose2ID on the hub.")] = "main",
    half: Annotated[bool, typer.Option(help="Keep fp16 on disk, half the size.")] = False,
) -> None:
    """Fetches the published files from the Hugging Face hub and converts them."""
    setup_logging()
    if name not in MODELS:
        raise ParamsError(f"there is no published model {name!r}; choose one of {list(MODELS)}")
    downloads = Path(".cache", "weights", name)
    os.environ["HF_HUB_OFFLINE"] = "0"  # every other command stays off the hub
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    for repository, files in SOURCES.items():
        folder = downloads / (repository.split("/")[1] if "vae" in repository else "")
        try:
            snapshot_download(
                repository,
                revision=revision if repository == "yuanc3/Pose2ID" else None,
                allow_patterns=[f"*{file}" for file in files],
                local_dir=folder,
            )
        except (HfHubHTTPError, OSError) as error:
            raise WeightsError(
                f"{repository} could not be fetched from the hub: {error}. Fetch its files "
                f"({', '.join(files)}) by other means, then: pose2id weights convert"
            ) from error
    _convert(downloads, target, half=half)


@app.command()
def convert(
    source: Annotated[
        Path, typer.Argument(help="Folder with the published files.", callback=as_given)
    ],
    target: Annotated[
        Path, typer.Argument(help="Folder for the model in our layout.", callback=as_given)
    ],
    half: Annotated[bool, typer.Option(help="Keep fp16 on disk, half the size.")] = False,
) -> None:
    """Converts published files that are already here; every key and shape is checked."""
    setup_logging()
    _convert(source, target, half=half)


def _convert(source: Path, target: Path, *, half: bool) -> None:
    import torch

    from flows.cli.console import progress
    from pose2id.generation.checkpoints import convert_official
    from pose2id.generation.model import PARTS

    dtype = torch.float16 if half else torch.float32
    with progress("convert", len(PARTS), "parts") as advance:
        fingerprint = convert_official(source, target, dtype=dtype, on_part=lambda _: advance(1))
    show(f"{target} holds the model, fingerprint {fingerprint}")
    show(f"to use it, in params.yaml: generate.model: {target}, steps: 20, guidance_scale: 3.5")
