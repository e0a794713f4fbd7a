"""The results tables of the synthetic project, scored for real from its features."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pose2id.bootstrap import paired_bootstrap
from pose2id.labels import Labels
from pose2id.metrics import CameraBias, Evaluation, camera_bias, evaluate, identity_density
from tasks.tables import schema
from tasks.tables.schema import Layout
from tasks.tables.store import write_table

PRODUCER = "5" * 64
STEPS_OF = {"base": [], "ipg": ["fuse"], "nfc": ["nfc"], "ipg_nfc": ["fuse", "nfc"]}


@dataclass(frozen=True)
class Side:
    """Query or gallery: its ids and what the tables know of persons and cameras."""

    ids: list[str]
    pids: NDArray[np.int64]
    cams: NDArray[np.int64] | None


def write_results(
    layout: Layout,
    query: Side,
    gallery: Side,
    features: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]],
    *,
    labels: bool,
    top_k: int,
) -> None:
    """Scores each variant and writes `data/results/`.

    Args:
        layout: The project.
        query: The query side.
        gallery: The gallery side; pid 0 is a distractor.
        features: Variant -> (query, gallery) features, L2-normalised.
        labels: Without labels only ranked lists can be made.
        top_k: Length of the ranked lists.
    """
    scores: dict[str, Evaluation] = {}
    tables: dict[str, list[pa.Table]] = {"queries": [], "identities": [], "rankings": []}
    summary = []
    for name, (q, g) in features.items():
        scores[name] = found = evaluate(
            q,
            g,
            query_pids=query.pids if labels else None,
            gallery_pids=gallery.pids if labels else None,
            query_camids=query.cams,
            gallery_camids=gallery.cams,
            distractors=gallery.pids == 0,
            top_k=top_k,
            max_rank=20,
        )
        both = np.concatenate([q, g])
        pids = np.concatenate([query.pids, gallery.pids])
        id2 = identity_density(both[pids > 0], pids[pids > 0]) if labels else (None, {})
        bias = camera_bias(g, Labels(pids=gallery.pids if labels else None, camids=gallery.cams))
        summary.append(_summary_row(name, found, scores, id2[0], gallery, labels) | _bias(bias))
        tables["queries"].append(_queries(name, found, query, labels))
        tables["identities"].append(_identities(name, found, id2[1], query, gallery))
        tables["rankings"].append(_rankings(name, found, query, gallery))
    folder = layout.results
    write_table(
        folder / "summary.parquet",
        pa.Table.from_pylist(summary, schema=schema.SUMMARY),
        producer=PRODUCER,
    )
    passed = schema.EXPECTATIONS.empty_table()
    write_table(folder / "expectations.parquet", passed, producer=PRODUCER)
    for name, parts in tables.items():
        write_table(folder / f"{name}.parquet", pa.concat_tables(parts), producer=PRODUCER)
    metrics = {row["variant"]: {"mAP": row["mAP"]} for row in summary}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with (folder / "cmc.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["variant", "rank", "cmc"])
        for name, found in scores.items():
            if labels:
                writer.writerows((name, r + 1, f"{v:.6f}") for r, v in enumerate(found.cmc))


def _summary_row(
    name: str,
    found: Evaluation,
    scores: dict[str, Evaluation],
    id2: float | None,
    gallery: Side,
    labels: bool,
) -> dict[str, object]:
    interval: tuple[float | None, ...] = (None, None, None)
    base = scores["base"]
    shorter = next(
        (n for n, s in STEPS_OF.items() if STEPS_OF[name] and s == STEPS_OF[name][:-1]), None
    )
    if found.valid.any() and name != "base":
        interval = paired_bootstrap(base.ap, found.ap, 200)
    step = (
        (None, None, None)
        if shorter is None or not found.valid.any()
        else paired_bootstrap(scores[shorter].ap, found.ap, 200)
    )
    return {
        "variant": name,
        "steps": STEPS_OF[name],
        "reranked": False,
        "mAP": found.mAP if labels else None,
        "mINP": found.mINP if labels else None,
        **{f"rank_{r}": found.rank(r) if labels else None for r in (1, 5, 10, 20)},
        "id2": id2,
        "mAP_delta": interval[0],
        "mAP_delta_low": interval[1],
        "mAP_delta_high": interval[2],
        "without_last_step": shorter,
        "step_delta": step[0],
        "step_delta_low": step[1],
        "step_delta_high": step[2],
        "n_queries": len(found.ap),
        "n_valid_queries": int(found.valid.sum()),
        "n_gallery": len(gallery.ids),
        "n_distractors": int((gallery.pids == 0).sum()),
        "protocol": found.protocol,
        "n_trials": found.n_trials,
        "transductive": name != "base",
        "note": None if labels else "the dataset has no labels",
    }


def _bias(bias: CameraBias) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else value for name, value in asdict(bias).items()}


def _queries(name: str, found: Evaluation, query: Side, labels: bool) -> pa.Table:
    return pa.table(
        {
            "variant": [name] * len(query.ids),
            "query_id": query.ids,
            "ap": pa.array(found.ap, from_pandas=True),
            "inp": pa.array(found.inp, from_pandas=True),
            "first_hit_rank": pa.array(
                found.first_hit_rank, pa.int32(), mask=found.first_hit_rank == 0
            ),
            "n_positives": pa.array(found.n_positives, pa.int32()),
        },
        schema=schema.QUERIES,
    )


def _identities(
    name: str, found: Evaluation, id2: dict[int, float], query: Side, gallery: Side
) -> pa.Table:
    total = np.bincount(query.pids[found.valid], found.ap[found.valid], int(query.pids.max()) + 1)
    n_valid = np.bincount(query.pids[found.valid], minlength=len(total))
    n_query = np.bincount(query.pids, minlength=len(total))
    n_gallery = np.bincount(gallery.pids, minlength=len(total))
    rows = [
        {
            "variant": name,
            "pid": pid,
            "mAP": float(total[pid] / n_valid[pid]) if n_valid[pid] else None,
            "id2": id2[pid],
            "n_queries": int(n_query[pid]),
            "n_gallery": int(n_gallery[pid]),
        }
        for pid in sorted(id2)
    ]
    return pa.Table.from_pylist(rows, schema=schema.IDENTITIES)


def _rankings(name: str, found: Evaluation, query: Side, gallery: Side) -> pa.Table:
    lists = found.rankings
    assert lists is not None
    k = lists.gallery.shape[1]
    ids = np.array(gallery.ids, dtype=object)
    return pa.table(
        {
            "variant": [name] * (len(query.ids) * k),
            "query_id": np.repeat(np.array(query.ids, dtype=object), k),
            "rank": pa.array(np.tile(np.arange(1, k + 1), len(query.ids)), pa.int32()),
            "gallery_id": ids[lists.gallery.reshape(-1)],
            "distance": lists.distance.reshape(-1),
            "is_match": lists.is_match.reshape(-1),
            "is_junk": lists.is_junk.reshape(-1),
        },
        schema=schema.RANKINGS,
    )
