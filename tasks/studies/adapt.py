"""Adapting the generator to the people of a train split: tables in, a model's folder out."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa

from pose2id.devices import resolve_device
from pose2id.generation.checkpoints import load_model
from pose2id.training.adapt_recipe import AdaptRecipe
from pose2id.training.card import EVALUATION_MARK
from pose2id.training.clusters import NOISE, cluster_identities
from pose2id.training.guide import ExtractorGuide, Guide
from pose2id.training.recipe import IndexedData, MixedData, Recipe, check_recipe
from tasks.stages import keypoints
from tasks.stages.features import load_extractor
from tasks.studies.adapt_report import held_out_report
from tasks.studies.training import train_identity, train_ipg
from tasks.tables.params import Params
from tasks.tables.schema import INDEX, Layout
from tasks.tables.store import read_table, write_table
from tasks.tables.yaml_file import read_yaml

log = logging.getLogger(__name__)


def read_adapt_file(path: Path) -> AdaptRecipe:
    """Reads and checks the recipe of an adaptation.

    Raises:
        ParamsError: The file is missing, is not YAML, or a value is not allowed.
    """
    content = read_yaml(path, "--config")
    return check_recipe(AdaptRecipe, content, str(path))


def adapt(params: Params, wish: AdaptRecipe, root: Path, split: str) -> Path:
    """Trains identity network and generator on a split; killed, it goes on where it was.

    Args:
        params: The project's parameters: dataset, extractor, devices.
        wish: What to do.
        root: The project's root folder.
        split: The split to train on; it must be indexed.

    Returns:
        The folder of the adapted model, fit for `generate.model`.

    Raises:
        DataError: The split is not indexed, or holds no pairs across cameras.
        ParamsError: The guide gives no gradients, or a value does not fit.
    """
    guide = load_guide(params, wish, root)  # first: it may be impossible
    recipe = prepare(params, wish, root, split)
    seconds = 60.0 * wish.minutes
    if not (recipe.runs / "identity.json").is_file():
        train_identity(recipe, seconds=wish.identity_share * seconds)
    train_ipg(recipe, seconds=(1.0 - wish.identity_share) * seconds, guide=guide)
    extractor = load_extractor(params.features, str(root.resolve()), params.runtime.device)
    found = held_out_report(recipe, wish.start, extractor)
    (recipe.runs / "holdout.json").write_text(json.dumps(found.scores, indent=2) + "\n")
    card = recipe.out / "README.md"
    head = card.read_text(encoding="utf-8").partition(EVALUATION_MARK)[0]
    card.write_text(f"{head}{EVALUATION_MARK}\n{found.text}", encoding="utf-8")
    return recipe.out


def load_guide(params: Params, wish: AdaptRecipe, root: Path) -> Guide | None:
    """The network that must recognise the drawings; None is the identity network."""
    if wish.guide == "identity":
        return None
    extractor = load_extractor(params.features, str(root.resolve()), params.runtime.device)
    return ExtractorGuide(extractor, resolve_device(wish.device))


def prepare(params: Params, wish: AdaptRecipe, root: Path, split: str) -> Recipe:
    """Writes the tables that the training reads, and the recipe of both its parts."""
    layout, runs = Layout(root), wish.runs
    index = read_table(layout.index(split))
    labelled = index.column("pid").null_count < index.num_rows
    if not labelled:
        index = _clustered(params, index, root)
    write_table(runs / "index.parquet", index, producer="adapt")
    points = _keypoints(params, root, split)
    write_table(runs / "keypoints.parquet", points, producer="adapt")
    model = load_model(wish.start).model.config
    return Recipe(
        seed=wish.seed,
        runs=runs,
        out=wish.out,
        cache=wish.cache,
        workers=wish.workers,
        device=wish.device,
        data=MixedData(
            source="mixed",
            indexed=IndexedData(
                source="indexed",
                root=root / params.dataset.root,
                index=(runs / "index.parquet",),
                keypoints=runs / "keypoints.parquet",
                background=wish.background,
                holdout=wish.holdout,
            ),
            rendered=wish.rendered,
        ),
        model=model,
        about=_about(params, index, labelled),
        identity=wish.identity.model_copy(update={"start": wish.start}),
        ipg=wish.ipg.model_copy(update={"start": wish.start}),
    )


def _about(params: Params, index: pa.Table, labelled: bool) -> str:
    people = set(index.column("pid").to_pylist()) - {None}
    origin = (
        "labelled by the dataset"
        if labelled
        else "not labelled: pictures were grouped by clustering camera-normalised features of "
        f"`{params.features.extractor}` (HDBSCAN), so some people are several and some are mixed"
    )
    return (
        f"\nDataset `{params.dataset.name}`: {index.num_rows} images of {len(people)} people, "
        f"{origin}. Licence of the images: {params.dataset.licence} (status "
        f"{params.dataset.status}); what it allows for the images it allows for these weights at "
        "most.\n"
    )


def _keypoints(params: Params, root: Path, split: str) -> pa.Table:
    """Key points of all images of a split, from the stage's cache where they are there."""
    jobs = keypoints.plan(params, root, split)
    return pa.concat_tables([keypoints.find(job)[0] for job in jobs]).sort_by("image_id")


def _clustered(params: Params, index: pa.Table, root: Path) -> pa.Table:
    """The index with clusters for people; images of no cluster are left out."""
    rows = index.to_pylist()
    extractor = load_extractor(params.features, str(root.resolve()), params.runtime.device)
    from pose2id.extractors.batching import extract

    folder = root / params.dataset.root
    sources = [(folder / row["path"]).read_bytes for row in rows]
    features, failures = extract(extractor, sources, params.features.batch_size)
    good = [number for number in range(len(rows)) if number not in failures]
    cameras = np.array([-1 if rows[i]["camid"] is None else rows[i]["camid"] for i in good])
    people = cluster_identities(features[good], cameras.astype(np.int64))
    kept = [rows[i] | {"pid": int(p)} for i, p in zip(good, people, strict=True) if p != NOISE]
    log.info("%d of %d images in %d clusters", len(kept), len(rows), int(people.max()) + 1)
    return pa.Table.from_pylist(kept, schema=INDEX)
