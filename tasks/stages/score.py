"""Stage `score`: every variant against the same queries and gallery, per query and per identity."""

from __future__ import annotations

import csv
import io
import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pose2id.errors import DataError
from pose2id.labels import UNKNOWN, Labels
from pose2id.protocols import rules_of
from pose2id.steps.chain import Chain, is_transductive, scoring_step
from pose2id.steps.scoring import chain_distances
from tasks.gates.results import gate_results
from tasks.stages.base import Job, ShardReport, jobs
from tasks.tables import schema
from tasks.tables.labels import check_protocol, read_labels
from tasks.tables.params import BASE, Params, ScoreParams
from tasks.tables.seal import table_schema
from tasks.tables.store import atomic_path, read_table, read_vectors, sha256_hex, write_table

if TYPE_CHECKING:
    from pose2id.metrics import CameraBias, Evaluation

log = logging.getLogger(__name__)

RANKS = (1, 5, 10, 20)
MAX_RANK = 50
FALSE_POSITIVE_RATES = (1e-4, 1e-3, 1e-2)
_NO_ROWS = np.empty(0, np.int64)
TPR_COLUMNS = ("tpr_at_fpr_1e4", "tpr_at_fpr_1e3", "tpr_at_fpr_1e2")


@dataclass(frozen=True)
class Scored:
    """One scored variant: its evaluation, what its features are like, and what to know of it."""

    name: str
    steps: Chain
    evaluation: Evaluation
    id2: float
    id2_per_identity: dict[int, float]
    bias: CameraBias
    values: dict[str, Any]
    notes: tuple[str, ...]


def plan(params: Params, root: Path, split: str) -> list[Job]:
    """One job: all variants share the labels and the bootstrap's queries.

    Raises:
        DataError: The protocol needs what the index or the files at hand do not have.
    """
    check_protocol(params, root)
    return jobs("score", params, root, split, 1)


def run_shard(job: Job) -> ShardReport:
    """Writes `data/results/`."""
    params, layout = job.params.score, job.layout
    query = _read_side(layout, params.query)
    gallery = _read_side(layout, params.gallery)
    scored = score_variants(layout, job.params, query, gallery)
    notes = scored[0].evaluation.notes
    for note in notes:
        log.warning("score: %s", note)
    producer = sha256_hex(params.model_dump_json())
    results = layout.results
    tables = {
        "summary": _summary(scored, query, gallery, params),
        "queries": _queries(scored, query),
        "identities": _identities(scored, query, gallery),
        "rankings": _rankings(scored, query, gallery),
    }
    for name, table in tables.items():
        write_table(results / f"{name}.parquet", table, producer=producer)
    _write_metrics(results, tables["summary"])
    _write_cmc(results, scored)
    return ShardReport(len(scored), len(scored), notes=notes)


def merge(params: Params, root: Path, split: str, reports: list[ShardReport]) -> None:
    """Lets the results pass their gate."""
    for warning in gate_results(schema.Layout(root), params):
        log.warning("score: %s", warning)


def _read_side(layout: schema.Layout, split: str) -> Labels:
    ids = read_table(layout.centralized(split) / "base.parquet", ["image_id"])
    return read_labels(layout, split, ids.column("image_id").to_pylist())


def score_variants(
    layout: schema.Layout, params: Params, query: Labels, gallery: Labels
) -> list[Scored]:
    """Evaluates every variant, ties broken by a hash of the images' names."""
    from pose2id.metrics import camera_bias, evaluate, read_permutations

    score, device = params.score, params.runtime.device
    rules, steps = rules_of(score.protocol), score.by_step()
    drawn = rules.draws == "sysu_official" and score.permutations is not None
    path = layout.root / str(score.permutations)
    permutations = read_permutations(path) if drawn else None
    scored: list[Scored] = []
    biases: dict[str, CameraBias] = {}  # variants that differ in re-ranking share their features
    for name, chain in params.variants.items():
        table = params.features_of(name)
        q, _, notes_q = _features(layout, score.query, table)
        g, values, notes_g = _features(layout, score.gallery, table)
        distances, more = chain_distances(q, g, chain, steps, device)
        evaluation = evaluate(
            distances,
            query_labels=query,
            gallery_labels=gallery,
            protocol=score.protocol,
            backward=chain_distances(g, q, chain, steps, device)[0]
            if rules.both_directions
            else None,
            permutations=permutations,
            seed=score.seed,
            false_positive_rates=FALSE_POSITIVE_RATES,
            top_k=score.top_k,
            max_rank=MAX_RANK,
        )
        del distances  # a copy of the gallery
        id2, per_identity = _density(q, g, query, gallery)
        if table not in biases:
            biases[table] = camera_bias(g, gallery)
        chosen = values.pop("notes", ())
        notes = tuple(dict.fromkeys((*evaluation.notes, *chosen, *notes_q, *notes_g, *more)))
        scored.append(
            Scored(name, chain, evaluation, id2, per_identity, biases[table], values, notes)
        )
    return scored


def _features(
    layout: schema.Layout, split: str, variant: str
) -> tuple[NDArray[np.float32], dict[str, Any], tuple[str, ...]]:
    """Features of a variant, `(N, D) float32`, the steps done with their values, and notes."""
    path = layout.centralized(split) / f"{variant}.parquet"
    metadata = table_schema(path).metadata or {}
    notes = metadata.get(schema.NOTES, b"").decode().splitlines()
    values = json.loads(metadata.get(schema.APPLIED, b"{}"))
    return read_vectors(path), values, tuple(f"{split}: {n}" for n in notes)


def _density(
    q: NDArray[np.float32], g: NDArray[np.float32], query: Labels, gallery: Labels
) -> tuple[float, dict[int, float]]:
    """ID2 over query and gallery images of known persons, distractors left out."""
    from pose2id.metrics import identity_density

    asking, asked = query.people(len(q)), gallery.people(len(g))
    people = np.concatenate([asking, asked])
    known = people[people != UNKNOWN]
    if not len(known):
        return math.nan, {}
    return identity_density(np.concatenate([q[asking != UNKNOWN], g[asked != UNKNOWN]]), known)


def _summary(scored: list[Scored], query: Labels, gallery: Labels, params: ScoreParams) -> pa.Table:
    by_chain = {item.steps: item for item in scored}
    base = next(item for item in scored if item.name == BASE)
    rows = []
    for item in scored:
        result = item.evaluation
        shorter = by_chain.get(item.steps[:-1]) if item.steps else None
        rows.append(
            {
                "variant": item.name,
                "steps": list(item.steps),
                **item.values,
                "reranked": scoring_step(item.steps) is not None,
                "mAP": _number(result.mAP),
                "mINP": _number(result.mINP),
                **{f"rank_{r}": _number(result.rank(r)) for r in RANKS},
                "id2": _number(item.id2),
                "camera_nmi": _number(item.bias.camera_nmi),
                "camera_nmi_by_chance": _number(item.bias.camera_nmi_by_chance),
                "identity_nmi": _number(item.bias.identity_nmi),
                **{
                    column: _number(result.tpr_at_fpr.get(rate, math.nan))
                    for column, rate in zip(TPR_COLUMNS, FALSE_POSITIVE_RATES, strict=True)
                },
                **_gain("mAP_delta", base if item is not base else None, item, params),
                "without_last_step": shorter.name if shorter else None,
                **_gain("step_delta", shorter, item, params),
                "n_queries": len(query),
                "n_valid_queries": int(result.valid.sum()),
                "n_gallery": len(gallery),
                "n_distractors": _n_distractors(gallery),
                "protocol": result.protocol,
                "n_trials": result.n_trials,
                "mAP_std": _number(result.mAP_std),
                "rank_1_std": _number(result.rank_std(1)),
                "transductive": is_transductive(item.steps),
                "note": "; ".join(item.notes) or None,
            }
        )
    return pa.Table.from_pylist(rows, schema=schema.SUMMARY)


def _gain(
    column: str, before: Scored | None, after: Scored, params: ScoreParams
) -> dict[str, float | None]:
    """The difference in mAP with its interval, as three columns; nulls where there is none."""
    from pose2id.bootstrap import paired_bootstrap

    names = (column, f"{column}_low", f"{column}_high")
    if before is None or not after.evaluation.valid.any():
        return dict.fromkeys(names)
    resamples = params.bootstrap_resamples
    found = paired_bootstrap(before.evaluation.ap, after.evaluation.ap, resamples, params.seed)
    return dict(zip(names, found, strict=True))


def _queries(scored: list[Scored], query: Labels) -> pa.Table:
    rows = [
        {
            "variant": item.name,
            "query_id": image_id,
            "ap": _number(item.evaluation.ap[row]),
            "inp": _number(item.evaluation.inp[row]),
            "first_hit_rank": int(item.evaluation.first_hit_rank[row]) or None,
            "n_positives": int(item.evaluation.n_positives[row]),
        }
        for item in scored
        for row, image_id in enumerate(_ids(query))
    ]
    return pa.Table.from_pylist(rows, schema=schema.QUERIES)


def _identities(scored: list[Scored], query: Labels, gallery: Labels) -> pa.Table:
    asking, asked = _rows_by_person(query), _rows_by_person(gallery)
    pids = sorted(asking.keys() | asked.keys())
    rows: list[dict[str, Any]] = []
    for item in scored:
        for pid in pids:
            its = asking.get(pid, _NO_ROWS)
            ap = item.evaluation.ap[its[item.evaluation.valid[its]]]
            rows.append(
                {
                    "variant": item.name,
                    "pid": pid,
                    "mAP": float(ap.mean()) if len(ap) else None,
                    "id2": _number(item.id2_per_identity.get(pid, math.nan)),
                    "n_queries": len(its),
                    "n_gallery": len(asked.get(pid, _NO_ROWS)),
                }
            )
    return pa.Table.from_pylist(rows, schema=schema.IDENTITIES)


def _rows_by_person(labels: Labels) -> dict[int, NDArray[np.int64]]:
    """Person -> the rows of its images, ascending; those who match nobody are left out."""
    people = labels.people(len(labels))
    pids, sizes = np.unique(people, return_counts=True)
    rows = np.split(np.argsort(people, kind="stable"), np.cumsum(sizes)[:-1])
    found = dict(zip(pids.tolist(), rows, strict=True))
    found.pop(UNKNOWN, None)
    return found


def _rankings(scored: list[Scored], query: Labels, gallery: Labels) -> pa.Table:
    query_ids, gallery_ids = _ids(query), np.array(_ids(gallery))
    parts = []
    for item in scored:
        lists = item.evaluation.rankings
        if lists is None:
            raise DataError("score.top_k gave no ranked lists; it must be at least 1")
        n_queries, k = lists.gallery.shape
        columns = {
            "variant": [item.name] * (n_queries * k),
            "query_id": np.repeat(np.array(query_ids), k),
            "rank": np.tile(np.arange(1, k + 1, dtype=np.int32), n_queries),
            "gallery_id": gallery_ids[lists.gallery.reshape(-1)],
            "distance": lists.distance.reshape(-1),
            "is_match": lists.is_match.reshape(-1),
            "is_junk": lists.is_junk.reshape(-1),
        }
        parts.append(pa.table(columns, schema=schema.RANKINGS))
    return pa.concat_tables(parts)


def _write_metrics(results: Path, summary: pa.Table) -> None:
    """The few numbers that `dvc metrics` shows, per variant."""
    names = ("mAP", "mINP", "rank_1", "id2")
    metrics = {row["variant"]: {n: row[n] for n in names} for row in summary.to_pylist()}
    with atomic_path(results / "metrics.json") as path:
        path.write_text(json.dumps(metrics, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _write_cmc(results: Path, scored: list[Scored]) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["variant", "rank", "cmc"])
    for item in scored:
        for rank, value in enumerate(item.evaluation.cmc, start=1):
            writer.writerow([item.name, rank, f"{value:.6f}"])
    with atomic_path(results / "cmc.csv") as path:
        path.write_text(buffer.getvalue(), encoding="utf-8")


def _n_distractors(labels: Labels) -> int:
    return 0 if labels.distractors is None else int(labels.distractors.sum())


def _ids(labels: Labels) -> list[str]:
    return [] if labels.image_ids is None else labels.image_ids.tolist()


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
