"""The paper's tables: which rows can be run here, and ours beside the published figures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pose2id.errors import ParamsError
from pose2id.labels import UNKNOWN
from pose2id.steps.chain import Chain, check_chain, feature_chain, scoring_step
from pose2id.steps.registry import SCORING_STEPS
from tasks.tables.labels import read_labels
from tasks.tables.params import Params, parse_params
from tasks.tables.schema import Layout
from tasks.tables.store import read_table, vectors

SPLITS = ("query", "gallery")
STAGES = ("index", "poses", "generate", "features", "validate", "centralize")
MEASURES = ("mAP", "rank_1", "id2")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PaperDataset(_Section):
    """A dataset: its folder below the data (by default its name), layout and protocol."""

    reader: str
    protocol: str
    status: str
    folder: str | None = None


class PaperNetwork(_Section):
    """A network: its kind and options; its checkpoint is in a folder of its name."""

    extractor: str = ""
    options: dict[str, bool | int | str] = Field(default_factory=dict)
    input: dict[str, Any] | None = None
    unavailable: str | None = None


class PaperGenerator(_Section):
    """The generator's folder below the weights, and its sampling."""

    folder: str
    steps: int
    guidance_scale: float


class PaperRow(_Section):
    """One row: what was run, by one chain or one for each side, and what was published."""

    dataset: str
    network: str
    chain: tuple[str, ...] | None = None
    query: tuple[str, ...] | None = None
    gallery: tuple[str, ...] | None = None
    published: dict[str, float]

    @model_validator(mode="after")
    def _one_kind_of_chain(self) -> PaperRow:
        if (self.chain is None) == (self.query is None or self.gallery is None):
            raise ValueError("give chain, or both query and gallery")
        for chain in self.chains:
            check_chain("row", chain)
        if self.chain is None and any(scoring_step(chain) for chain in self.chains):
            raise ValueError("a step at scoring is of both sides; name it in chain")
        return self

    @property
    def chains(self) -> tuple[Chain, Chain]:
        """The steps of the queries and of the gallery."""
        if self.chain is not None:
            return self.chain, self.chain
        return self.query or (), self.gallery or ()

    @property
    def label(self) -> str:
        """The steps, for a table."""
        query, gallery = (" + ".join(chain) or "base" for chain in self.chains)
        return query if query == gallery else f"query {query}, gallery {gallery}"


class PaperTable(_Section):
    """One of the paper's tables."""

    source: str
    datasets: dict[str, PaperDataset]
    networks: dict[str, PaperNetwork]
    generator: PaperGenerator
    steps: dict[str, Any]
    rows: tuple[PaperRow, ...]

    @model_validator(mode="after")
    def _names_known(self) -> PaperTable:
        for row in self.rows:
            if row.dataset not in self.datasets or row.network not in self.networks:
                raise ValueError(f"{row.dataset} or {row.network} of a row is not described above")
        return self


@dataclass(frozen=True)
class Run:
    """Rows that share a dataset and a network, and so every stage up to the features.

    Attributes:
        name: `<dataset>-<network>`.
        rows: Numbers of the rows in the table.
        missing: What is not there; empty where the run can start.
        params: The parameters; None where something is missing.
    """

    name: str
    rows: tuple[int, ...]
    missing: tuple[str, ...]
    params: Params | None


def load_paper_table(path: Path) -> PaperTable:
    """Reads a table of `experiments/paper`.

    Raises:
        ParamsError: The file is missing or no such table.
    """
    try:
        return PaperTable.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml"))) or "none"
        raise ParamsError(f"there is no table {path.stem!r}; there are: {known}") from error
    except (ValidationError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} is no table of the paper: {error}") from error


def plan_runs(
    table: PaperTable, data: Path, weights: Path, overrides: dict[str, Any]
) -> Iterator[Run]:
    """What must be run for a table, and what is missing for it.

    Args:
        table: The table.
        data: Folder with a folder for each dataset.
        weights: Folder with a folder for each network, and one for the generator.
        overrides: Sections of parameters that replace or extend the usual ones.

    Yields:
        One run for each dataset and network, in the table's order.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(table.rows):
        groups.setdefault((row.dataset, row.network), []).append(number)
    for (dataset, network), numbers in groups.items():
        chains = {chain for number in numbers for chain in table.rows[number].chains}
        draws = any("fuse" in chain for chain in chains)
        missing = _missing(table, dataset, network, draws, data, weights)
        name = f"{dataset}-{network}"
        params = None
        if not missing:
            raw = _params(table, dataset, network, chains, draws, data, weights)
            for key, section in overrides.items():
                raw[key] = {**raw.get(key, {}), **section} if isinstance(section, dict) else section
            try:
                params = parse_params(raw, name)
            except ParamsError as error:
                missing = (str(error),)
        yield Run(name, tuple(numbers), missing, params)


def _missing(
    table: PaperTable, dataset: str, network: str, draws: bool, data: Path, weights: Path
) -> tuple[str, ...]:
    described = table.networks[network]
    if described.unavailable:
        return (f"{network}: {described.unavailable}",)
    folders = {
        "images": data / (table.datasets[dataset].folder or dataset),
        "checkpoint": weights / network,
    }
    if draws:
        folders["generator"] = weights / table.generator.folder
    return tuple(f"no {what} in {path}" for what, path in folders.items() if not path.is_dir())


def _params(
    table: PaperTable,
    dataset: str,
    network: str,
    chains: set[Chain],
    draws: bool,
    data: Path,
    weights: Path,
) -> dict[str, Any]:
    described, of_network = table.datasets[dataset], table.networks[network]
    generator = table.generator
    stored = sorted({feature_chain(chain) for chain in chains} | {()})
    return {
        "splits": SPLITS,
        "variants": {variant_name(chain): chain for chain in stored},
        "dataset": {
            "name": dataset,
            "reader": described.reader,
            "root": str((data / (described.folder or dataset)).resolve()),
            "licence": "see the dataset's authors",
            "status": described.status,
        },
        "generate": {
            "generator": "ipg" if draws else "none",
            "model": str((weights / generator.folder).resolve()),
            "steps": generator.steps,
            "guidance_scale": generator.guidance_scale,
        },
        "features": {
            "extractor": of_network.extractor,
            "model": str((weights / network).resolve()),
            "options": of_network.options,
            "input": of_network.input,
        },
        "centralize": table.steps,
        "score": {"protocol": described.protocol},
    }


def variant_name(chain: Chain) -> str:
    """The variant that holds the features of a chain.

    >>> variant_name(("fuse", "nfc"))
    'fuse-nfc'
    """
    return "-".join(feature_chain(chain)) or "base"


def score_row(root: Path, params: Params, row: PaperRow) -> dict[str, float]:
    """Ours for a row, once the stages have been run.

    Args:
        root: The run's folder.
        params: The run's parameters.
        row: The row.

    Returns:
        mAP and Rank-1 in percent, ID2.
    """
    from pose2id.distances import DistanceSource, FeatureDistances
    from pose2id.metrics import evaluate, identity_density

    layout = Layout(root)
    sides, features = [], []
    for split, chain in zip(SPLITS, row.chains, strict=True):
        path = layout.centralized(split) / f"{variant_name(chain)}.parquet"
        table = read_table(path, ["image_id", "feature"])
        features.append(vectors(table))
        sides.append(read_labels(layout, split, table.column("image_id").to_pylist()))
    (q, g), (query, gallery) = features, sides
    distances: DistanceSource = FeatureDistances(q, g)
    last = scoring_step(row.chains[0])
    if last is not None:
        distances, _ = SCORING_STEPS[last].distances(q, g, params.score.step(last), "cpu")
    result = evaluate(
        distances,
        query_labels=query,
        gallery_labels=gallery,
        protocol=params.score.protocol,
        top_k=0,
    )
    people = np.concatenate([query.people(len(q)), gallery.people(len(g))])
    known = people != UNKNOWN
    id2 = math.nan
    if known.any():
        id2, _ = identity_density(np.concatenate(features)[known], people[known])
    return {"mAP": 100 * result.mAP, "rank_1": 100 * result.rank(1), "id2": id2}
