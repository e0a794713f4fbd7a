"""Choosing eta, k1 and k2 (and re-ranking's parameters) by cross-validated mAP on the train split.

Query and gallery are never looked at, neither features nor labels.
"""

from __future__ import annotations

import copy
import hashlib
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import yaml

from pose2id.errors import DataError, MissingDependencyError, ParamsError
from pose2id.steps.chain import Chain
from pose2id.steps.rerank import RerankParams
from tasks.studies.evaluation import Images, Setting, evaluate_setting, load_images
from tasks.tables import schema
from tasks.tables.params import Params, TuneParams
from tasks.tables.store import atomic_path, write_table
from tasks.tables.yaml_file import read_yaml

if TYPE_CHECKING:
    import optuna

log = logging.getLogger(__name__)

Fold = tuple[Images, Images]  # query and gallery


def tune(params: Params, root: Path, on_trial: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Runs the study and writes `data/tuning/study.parquet` and `data/tuning/params.yaml`.

    Args:
        params: All parameters; `tune` says how to search, `centralize` what is kept otherwise.
        root: The project's root folder; its params.yaml is the base of the file written.
        on_trial: Called after every trial.

    Returns:
        The best trial's row.

    Raises:
        DataError: The split has too few labelled identities for the folds.
        MissingDependencyError: Optuna is not installed.
        ParamsError: Query or gallery was named as the split to tune on.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingDependencyError(
            "tuning needs an extra: pip install 'pose2id[tune]'"
        ) from error

    if params.tune.split in (params.score.query, params.score.gallery):
        raise ParamsError(
            f"tune.split is {params.tune.split!r}, which is what is scored; choosing parameters on "
            "it would make the scores too good. Name a split of other people"
        )
    layout = schema.Layout(root)
    images = load_images(layout, params.tune.split, params.centralize.tracklets)
    folds = make_folds(images, params.tune)
    chain = tuned_chain(params)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=params.tune.seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    fusion, nfc = params.centralize.step("fuse"), params.centralize.step("nfc")
    today = {
        "eta": min(max(fusion.eta, params.tune.eta[0]), params.tune.eta[1]),
        "k1": min(nfc.k1, params.tune.max_k),
        "k2": min(nfc.k2, params.tune.max_k),
    }
    study.enqueue_trial(today)  # what is set now is always among the candidates
    rows: list[dict[str, Any]] = []

    def objective(trial: optuna.Trial) -> float:
        row = _run_trial(trial, folds, params, chain)
        rows.append(row)
        on_trial()
        return float(row["mAP"])

    study.optimize(objective, n_trials=params.tune.trials)
    best = max(rows, key=lambda row: (row["mAP"], -row["trial"]))
    table = pa.Table.from_pylist(rows, schema=schema.TUNING)
    write_table(layout.tuning / "study.parquet", table, producer="tune")
    _write_params(root / "params.yaml", layout.tuning / "params.yaml", best)
    return best


def make_folds(images: Images, params: TuneParams) -> list[Fold]:
    """Splits identities into folds; in each, one image per identity and camera asks for the rest.

    Folds and queries follow from hashes, so they stay the same when images are added.

    Raises:
        DataError: A fold would have no query with a positive.
    """
    fold_of = {pid: _hash(params.seed, "fold", pid) % params.folds for pid in set(images.pids)}
    folds = []
    for fold in range(params.folds):
        rows = [r for r, pid in enumerate(images.pids) if pid >= 0 and fold_of[pid] == fold]
        chosen: dict[tuple[int, int], int] = {}
        asked_for = [row for row in rows if not images.distractors[row]]
        asked_for.sort(key=lambda row: _hash(params.seed, "query", images.image_ids[row]))
        for row in asked_for:
            chosen.setdefault((images.pids[row], images.features.cameras[row]), row)
        gallery = images.take(rows)
        query = images.take(sorted(chosen.values()))
        n_people = len(set(query.pids))
        if n_people < 2 or len(rows) <= n_people:
            raise DataError(
                f"split {params.split!r} has too few labelled images for {params.folds} folds "
                f"(fold {fold} has {len(rows)} images of {n_people} people); lower tune.folds"
            )
        folds.append((query, gallery))
    return folds


def tuned_chain(params: Params) -> Chain:
    """The variant whose parameters are chosen: the longest without re-ranking."""
    return max(params.feature_variants().values(), key=len)


def _run_trial(
    trial: optuna.Trial, folds: list[Fold], params: Params, chain: Chain
) -> dict[str, Any]:
    search = params.tune
    smallest = min(len(query.image_ids) for query, _ in folds)
    largest_k = min(search.max_k, smallest - 1)
    eta = trial.suggest_float("eta", *search.eta, log=True)
    k1 = trial.suggest_int("k1", 1, largest_k)
    k2 = trial.suggest_int("k2", 1, largest_k)
    steps = {
        "fuse": replace(params.centralize.step("fuse"), eta=eta),
        "nfc": replace(params.centralize.step("nfc"), k1=k1, k2=k2),
    }
    if search.rerank:
        chain = (*chain, "rerank")
        steps["rerank"] = RerankParams(
            k1=trial.suggest_int("rerank_k1", 2, min(50, smallest)),
            k2=trial.suggest_int("rerank_k2", 1, min(15, smallest)),
            lambda_value=trial.suggest_float("rerank_lambda", 0.0, 1.0),
        )
    setting = Setting.both(chain, **steps)
    scores = [evaluate_setting(query, gallery, setting, params)[0].mAP for query, gallery in folds]
    rerank = steps.get("rerank")
    return {
        "trial": trial.number,
        "eta": eta,
        "k1": k1,
        "k2": k2,
        "rerank_k1": rerank and rerank.k1,
        "rerank_k2": rerank and rerank.k2,
        "rerank_lambda": rerank and rerank.lambda_value,
        "mAP": float(np.mean(scores)),
        "fold_mAP": scores,
    }


def _write_params(current: Path, target: Path, best: dict[str, Any]) -> None:
    """The current params file with the chosen values in place, ready for use."""
    raw = copy.deepcopy(read_yaml(current))
    centralize = raw.setdefault("centralize", {})
    centralize.setdefault("fuse", {})["eta"] = round(best["eta"], 4)
    centralize.setdefault("nfc", {}).update(k1=best["k1"], k2=best["k2"])
    if best["rerank_k1"]:
        raw.setdefault("score", {})["rerank"] = {
            "k1": best["rerank_k1"],
            "k2": best["rerank_k2"],
            "lambda_value": round(best["rerank_lambda"], 4),
        }
    header = f"# Chosen by `pose2id tune`: mAP {best['mAP']:.4f} over folds of train.\n"
    with atomic_path(target) as temporary:
        temporary.write_text(header + yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")


def _hash(*parts: object) -> int:
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big")
