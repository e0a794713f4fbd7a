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

from pose2id.errors import DataError, ParamsError
from tasks.stages.base import Job, ShardReport, jobs
from tasks.tables import schema
from tasks.tables.labels import UNKNOWN, Labels, read_labels
from tasks.tables.params import Params, RerankParams, ScoreParams
from tasks.tables.store import atomic_path, read_table, sha256_hex, vectors, write_table

if TYPE_CHECKING:
    from pose2id.distances import DistanceSource
    from pose2id.metrics import Evaluation

log = logging.getLogger(__name__)

VARIANTS = ("base", "ipg", "nfc", "ipg_nfc")
TRANSDUCTIVE = ("nfc", "ipg_nfc")  # they look at the whole query or gallery set
RANKS = (1, 5, 10, 20)
MAX_RANK = 50
FALSE_POSITIVE_RATES = (1e-4, 1e-3, 1e-2)
TPR_COLUMNS = ("tpr_at_fpr_1e4", "tpr_at_fpr_1e3", "tpr_at_fpr_1e2")


@dataclass(frozen=True)
class Scored:
    """One scored variant: its evaluation and the identity density of its features."""

    variant: str
    reranked: bool
    evaluation: Evaluation
    id2: float
    id2_per_identity: dict[int, float]

    @property
    def name(self) -> str:
        """Variant name as it stands in every table, such as `ipg_nfc_rerank`."""
        return f"{self.variant}_rerank" if self.reranked else self.variant


def plan(params: Params, root: Path, split: str) -> list[Job]:
    """One job: all variants share the labels and the bootstrap's queries."""
    return jobs("score", params, root, split, 1)


def run_shard(job: Job) -> ShardReport:
    """Writes `data/results/`."""
    params, layout = job.params.score, job.layout
    query = _read_side(layout, params.query)
    gallery = _read_side(layout, params.gallery)
    note = what_cannot_be_scored(query, gallery)
    if note:
        log.warning("score: %s", note)
    scored = score_variants(layout, params, query, gallery)
    producer = sha256_hex(params.model_dump_json())
    results = layout.results
    tables = {
        "summary": _summary(scored, query, gallery, params, note),
        "queries": _queries(scored, query),
        "identities": _identities(scored, query, gallery),
        "rankings": _rankings(scored, query, gallery),
    }
    for name, table in tables.items():
        write_table(results / f"{name}.parquet", table, producer=producer)
    _write_metrics(results, tables["summary"])
    _write_cmc(results, scored)
    return ShardReport(len(scored), len(scored), notes=(note,) if note else ())


def merge(params: Params, root: Path, split: str, reports: list[ShardReport]) -> None:
    """Nothing is left to do: the stage has one shard."""


def _read_side(layout: schema.Layout, split: str) -> Labels:
    ids = read_table(layout.centralized(split) / "base.parquet", ["image_id"])
    return read_labels(layout, split, ids.column("image_id").to_pylist())


def what_cannot_be_scored(query: Labels, gallery: Labels) -> str | None:
    """What is missing for a full evaluation, as a sentence; `None` when nothing is."""
    if (query.pids == UNKNOWN).all() or (gallery.pids == UNKNOWN).all():
        return "no person ids on one side: ranked lists only, no metric can be given"
    if (query.camids == UNKNOWN).all() or (gallery.camids == UNKNOWN).all():
        return "no camera ids on one side: images of the query's own camera are not left out"
    return None


def score_variants(
    layout: schema.Layout, params: ScoreParams, query: Labels, gallery: Labels
) -> list[Scored]:
    """Evaluates every variant, and those of `rerank_variants` once more after re-ranking."""
    from pose2id.distances import FeatureDistances
    from pose2id.rerank import k_reciprocal

    scored = []
    for variant in VARIANTS:
        q = _features(layout, params.query, variant)
        g = _features(layout, params.gallery, variant)
        sources: dict[bool, DistanceSource] = {False: FeatureDistances(q, g)}
        if params.rerank is not None and variant in params.rerank_variants:
            _check_rerank(params.rerank, len(q) + len(g))
            sources[True] = k_reciprocal(q, g, **params.rerank.model_dump())
        id2, per_identity = _density(q, g, query, gallery)
        for reranked, distances in sources.items():
            evaluation = _evaluate(distances, params, query, gallery)
            scored.append(Scored(variant, reranked, evaluation, id2, per_identity))
    return scored


def _check_rerank(rerank: RerankParams, n_images: int) -> None:
    largest = n_images - 1
    if max(rerank.k1, rerank.k2) > largest:
        raise ParamsError(
            f"score.rerank has k1 = {rerank.k1} and k2 = {rerank.k2}, but query and gallery "
            f"together have {n_images} images; at most {largest} is allowed. Lower them, or set "
            "score.rerank to null"
        )


def _features(layout: schema.Layout, split: str, variant: str) -> NDArray[np.float32]:
    return vectors(read_table(layout.centralized(split) / f"{variant}.parquet", ["feature"]))


def _evaluate(
    distances: DistanceSource, params: ScoreParams, query: Labels, gallery: Labels
) -> Evaluation:
    from pose2id.metrics import evaluate

    labelled = (query.pids != UNKNOWN).any() and (gallery.pids != UNKNOWN).any()
    return evaluate(
        distances,
        query.pids if labelled else None,
        gallery.pids if labelled else None,
        query.camids,
        gallery.camids,
        distractors=gallery.distractors,
        protocol=params.protocol,
        seed=params.seed,
        false_positive_rates=FALSE_POSITIVE_RATES,
        top_k=params.top_k,
        max_rank=MAX_RANK,
    )


def _density(
    q: NDArray[np.float32], g: NDArray[np.float32], query: Labels, gallery: Labels
) -> tuple[float, dict[int, float]]:
    """ID2 over query and gallery images of known persons, distractors left out."""
    from pose2id.metrics import identity_density

    known_q = query.pids != UNKNOWN
    known_g = (gallery.pids != UNKNOWN) & ~gallery.distractors
    if not known_q.any() and not known_g.any():
        return math.nan, {}
    pids = np.concatenate([query.pids[known_q], gallery.pids[known_g]])
    return identity_density(np.concatenate([q[known_q], g[known_g]]), pids)


def _summary(
    scored: list[Scored], query: Labels, gallery: Labels, params: ScoreParams, note: str | None
) -> pa.Table:
    from pose2id.bootstrap import paired_bootstrap

    base = scored[0].evaluation
    rows = []
    for item in scored:
        result = item.evaluation
        delta: tuple[float | None, ...] = (None, None, None)
        if item is not scored[0] and result.valid.any():
            resamples = params.bootstrap_resamples
            delta = paired_bootstrap(base.ap, result.ap, resamples, params.seed)
        rows.append(
            {
                "variant": item.name,
                "reranked": item.reranked,
                "mAP": _number(result.mAP),
                "mINP": _number(result.mINP),
                **{f"rank_{r}": _number(result.rank(r)) for r in RANKS},
                "id2": _number(item.id2),
                **{
                    column: _number(result.tpr_at_fpr.get(rate, math.nan))
                    for column, rate in zip(TPR_COLUMNS, FALSE_POSITIVE_RATES, strict=True)
                },
                **dict(zip(("mAP_delta", "mAP_delta_low", "mAP_delta_high"), delta, strict=True)),
                "n_queries": len(query.image_ids),
                "n_valid_queries": int(result.valid.sum()),
                "n_gallery": len(gallery.image_ids),
                "n_distractors": int(gallery.distractors.sum()),
                "protocol": result.protocol,
                "transductive": item.variant in TRANSDUCTIVE or item.reranked,
                "note": note,
            }
        )
    return pa.Table.from_pylist(rows, schema=schema.SUMMARY)


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
        for row, image_id in enumerate(query.image_ids)
    ]
    return pa.Table.from_pylist(rows, schema=schema.QUERIES)


def _identities(scored: list[Scored], query: Labels, gallery: Labels) -> pa.Table:
    pids = sorted(set(query.pids.tolist()) | set(gallery.pids[~gallery.distractors].tolist()))
    rows: list[dict[str, Any]] = []
    for item in scored:
        for pid in pids:
            if pid == UNKNOWN:
                continue
            of_pid = (query.pids == pid) & item.evaluation.valid
            mean_ap = item.evaluation.ap[of_pid].mean() if of_pid.any() else math.nan
            rows.append(
                {
                    "variant": item.name,
                    "pid": pid,
                    "mAP": _number(mean_ap),
                    "id2": _number(item.id2_per_identity.get(pid, math.nan)),
                    "n_queries": int((query.pids == pid).sum()),
                    "n_gallery": int(((gallery.pids == pid) & ~gallery.distractors).sum()),
                }
            )
    return pa.Table.from_pylist(rows, schema=schema.IDENTITIES)


def _rankings(scored: list[Scored], query: Labels, gallery: Labels) -> pa.Table:
    gallery_ids = np.array(gallery.image_ids)
    parts = []
    for item in scored:
        lists = item.evaluation.rankings
        if lists is None:
            raise DataError("score.top_k gave no ranked lists; it must be at least 1")
        n_queries, k = lists.gallery.shape
        columns = {
            "variant": [item.name] * (n_queries * k),
            "query_id": np.repeat(np.array(query.image_ids), k),
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


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
