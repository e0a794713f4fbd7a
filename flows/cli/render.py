"""Renders a dataset of people who do not exist."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.project import as_given

app = typer.Typer()
log = logging.getLogger("flows")


@app.command()
def main(
    root: Annotated[
        Path, typer.Argument(help="Folder to write, in the Market-1501 layout.", callback=as_given)
    ],
    seed: Annotated[int, typer.Option(help="Population; below 1000 is for training.")] = 7000,
    camera_seed: Annotated[int, typer.Option(help="Cameras and their sites.")] = 7000,
    train_identities: Annotated[int, typer.Option(help="People in the train split.")] = 6,
    test_identities: Annotated[int, typer.Option(help="People in query and gallery.")] = 12,
    cameras: Annotated[int, typer.Option(help="Cameras that see every person.")] = 4,
    images_per_camera: Annotated[int, typer.Option(help="Pictures per person and camera.")] = 2,
    queries: Annotated[int, typer.Option(help="Query pictures per test person.")] = 2,
    distractors: Annotated[int, typer.Option(help="Gallery pictures of nobody's match.")] = 8,
    junk: Annotated[int, typer.Option(help="Badly cropped gallery pictures.")] = 4,
    height_px: Annotated[int, typer.Option(help="Height of the pictures.")] = 128,
    width_px: Annotated[int, typer.Option(help="Width of the pictures.")] = 64,
) -> None:
    """Draws people, cameras and pictures from seeds; the same bytes each time on one machine."""
    from flows.cli.console import progress, setup_logging
    from pose2id.renderer import SyntheticSpec, write_dataset

    setup_logging()
    spec = SyntheticSpec(
        seed=seed,
        n_train_identities=train_identities,
        n_test_identities=test_identities,
        n_cameras=cameras,
        images_per_camera=images_per_camera,
        queries_per_identity=queries,
        n_distractors=distractors,
        n_junk=junk,
        camera_seed=camera_seed,
        height_px=height_px,
        width_px=width_px,
    )
    started = time.monotonic()
    with progress("render", spec.n_images) as advance:
        write_dataset(root, spec, advance)
    log.info("render: %d images in %.1f s", spec.n_images, time.monotonic() - started)
