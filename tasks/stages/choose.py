"""Stage `choose`: which steps each variant takes and how strongly, by the train split alone.

It looks at every setting of each variant's chain, whatever params.yaml says of eta, k1, k2 and
camera normalization, so that a value set by hand does not have it run again; `auto` takes what it
found. Without a labelled split of other people it writes the safe chain: what can harm is off.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa

from pose2id.steps.chain import Chain
from tasks.choosing.evaluation import load_images
from tasks.choosing.judging import (
    FEW_PEOPLE,
    NoEvidenceError,
    candidates,
    check_split,
    count_cameras,
    evidence_rows,
    judge,
)
from tasks.stages.base import Job, ShardReport, jobs
from tasks.tables import schema
from tasks.tables.choice import choosable
from tasks.tables.labels import read_labels
from tasks.tables.params import Params
from tasks.tables.store import sha256_hex, write_table

log = logging.getLogger(__name__)

SAFE_K = 1


def plan(params: Params, root: Path, split: str) -> list[Job]:
    """One job: all chains share the settings that they have in common."""
    return jobs("choose", params, root, split, 1)


def run_shard(job: Job) -> ShardReport:
    """Writes `data/choice.parquet`."""
    params, layout = job.params, job.layout
    chains = [chain for chain in params.feature_variants().values() if choosable(params, chain)]
    chains = list(dict.fromkeys(chains))
    rows: list[dict[str, Any]] = []
    notes: tuple[str, ...] = ("nothing to choose",)
    if chains:
        try:
            check_split(params, layout)
            rows, notes = _choose(params, layout, chains)
        except NoEvidenceError as reason:
            log.warning("choose: the safe chain, as %s", reason)
            rows, notes = _safe(params, layout, chains, str(reason)), ("the safe chain",)
    table = pa.Table.from_pylist(rows, schema=schema.CHOICE)
    write_table(layout.choice, table, producer=sha256_hex(params.tune.model_dump_json()))
    return ShardReport(len(rows), len(rows), notes=notes)


def merge(params: Params, root: Path, split: str, reports: list[ShardReport]) -> None:
    """Nothing is left to do."""


def _choose(
    params: Params, layout: schema.Layout, chains: list[Chain]
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    images = load_images(layout, params.tune.split, params.centralize.tracklets)
    of_chain = {c: candidates(params, images, c, choosable(params, c)) for c in chains}
    settings = list(dict.fromkeys(item for found in of_chain.values() for item in found))
    judged = judge(settings, images, params)
    rows = [row for chain in chains for row in evidence_rows(judged, chain, of_chain[chain])]
    notes = [f"{len(settings)} settings on {judged.n_people} people"]
    if judged.n_people < FEW_PEOPLE:
        notes.append(f"coarse, as there are fewer than {FEW_PEOPLE}")
    return rows, tuple(notes)


def _safe(
    params: Params, layout: schema.Layout, chains: list[Chain], reason: str
) -> list[dict[str, Any]]:
    """One row for each chain: camera normalization where cameras are known, NFC, nothing else."""
    there = params.tune.split in params.splits
    n_cameras = count_cameras(read_labels(layout, params.tune.split).camids) if there else 0
    rows = []
    for chain in chains:
        off = {"fuse", "second_opinion"} | ({"camera_normalize"} if n_cameras < 2 else set())
        steps = [step for step in chain if step not in off]
        rows.append(
            {
                "chain": list(chain),
                "setting": 0,
                "steps": steps,
                "eta": 0.0,
                "k": SAFE_K if "nfc" in steps else 0,
                "weight": 0.0,
                "best": False,
                "chosen": True,
                "why": f"the safe chain, as {reason}",
                "n_people": 0,
                "n_queries": 0,
                "n_images": 0,
            }
        )
    return rows
