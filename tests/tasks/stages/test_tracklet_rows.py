"""Tracklets of the index are one row each in the centralized features and in the scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from tasks.stages import centralize, score
from tasks.tables.feature_sets import load_feature_set
from tasks.tables.params import Params
from tasks.tables.schema import INDEX, Layout
from tasks.tables.store import read_table, vectors, write_table
from tests.tasks.factory import Spec, write_project


def give_tracks(layout: Layout, split: str) -> dict[str, list[str]]:
    """Makes the images of a person and camera one track; first image -> its images."""
    rows = read_table(layout.index(split)).to_pylist()
    tracks: dict[tuple[int, int], list[str]] = {}
    for row in rows:
        row["tracklet_id"] = "t"  # one name for all: person and camera tell them apart
        tracks.setdefault((row["pid"], row["camid"]), []).append(row["image_id"])
    write_table(layout.index(split), pa.Table.from_pylist(rows, schema=INDEX), producer="index")
    return {members[0]: members for members in tracks.values()}


def pooled_project(root: Path) -> tuple[Params, Layout, dict[str, list[str]]]:
    params = write_project(root, Spec(identities=4, cameras=2, gallery_per_identity=4))
    layout = Layout(root)
    give_tracks(layout, "query")
    tracks = give_tracks(layout, "gallery")
    chosen = params.centralize.model_copy(update={"tracklets": "mean"})
    return params.model_copy(update={"centralize": chosen}), layout, tracks


def test_rows_are_tracks_named_by_their_first_image(tmp_path: Path) -> None:
    params, layout, tracks = pooled_project(tmp_path)
    ids, images = load_feature_set(layout, "gallery")
    for job in centralize.plan(params, tmp_path, ""):
        centralize.run_shard(job)
    table = read_table(layout.centralized("gallery") / "base.parquet")
    assert table.column("image_id").to_pylist() == sorted(tracks)
    assert len(tracks) < len(ids)
    for name, feature in zip(sorted(tracks), vectors(table), strict=True):
        own = images.features[[ids.index(member) for member in tracks[name]]]
        mean = own.astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(feature, mean / np.linalg.norm(mean), atol=1e-6)
    (job,) = score.plan(params, tmp_path, "")
    score.run_shard(job)
    summary = read_table(layout.results / "summary.parquet").to_pylist()
    assert {row["n_gallery"] for row in summary} == {len(tracks)}
