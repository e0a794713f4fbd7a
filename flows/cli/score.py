"""Scores features on disk, without a project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def main(
    query: Annotated[Path, typer.Option(help="Features of the queries: .npy, .npz, .pt, .mat.")],
    gallery: Annotated[Path, typer.Option(help="Features of the gallery.")],
    labels: Annotated[Path, typer.Option(help="CSV with pid, camid and set (query, gallery).")],
    protocol: Annotated[str, typer.Option(help="As score.protocol in params.yaml.")] = "market",
    variants: Annotated[
        str, typer.Option(help="Which of base, nfc, camera, nfc_rerank, with commas.")
    ] = "base,nfc,camera,nfc_rerank",
    k1: Annotated[int, typer.Option(min=1, help="Neighbours that NFC absorbs.")] = 2,
    k2: Annotated[int, typer.Option(min=1, help="How near the way back must be.")] = 2,
) -> None:
    """Prints what features are worth as they are, centralized, camera-normalized and re-ranked."""
    from typing import cast

    from flows.cli.console import show_note, show_table
    from pose2id.feature_files import read_features
    from pose2id.label_files import read_sides
    from pose2id.metrics import Protocol
    from pose2id.scoring import score_features
    from pose2id.steps.nfc import NfcParams

    chosen = tuple(name.strip() for name in variants.split(","))
    sides = read_sides(labels, (query, read_features(query)), (gallery, read_features(gallery)))
    if (sides[0].camids < 0).all() or (sides[1].camids < 0).all():
        show_note("no cameras: images of the query's own camera are not left out")
    steps = {"nfc": NfcParams(k1=k1, k2=k2)}
    scored = score_features(*sides, chosen, protocol=cast(Protocol, protocol), steps=steps)
    rows = [
        (name, result.mAP, result.mINP, *(result.rank(rank) for rank in (1, 5, 10)))
        for name, result in scored
    ]
    show_table(("variant", "mAP", "mINP", "rank_1", "rank_5", "rank_10"), rows)
    sizes = " x ".join(str(len(side.features)) for side in sides)
    show_note(f"{sizes} images, {sides[0].features.shape[1]} numbers each, protocol {protocol}")
