"""What each step adds on this project's features, alone and in the variants, and how much pays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from pose2id.steps.chain import Chain, feature_chain
from tasks.studies.evaluation import GALLERY, QUERY, Images, Setting, evaluate_setting, load_images
from tasks.tables import schema
from tasks.tables.feature_sets import load_feature_set
from tasks.tables.params import Params
from tasks.tables.store import write_table

ETAS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
MAX_K = 10

Row = tuple[str, str, float | None, Setting, int | None]  # study, setting, value, ..., drawings


def run_ablation(params: Params, root: Path, on_row: Callable[[], None] = lambda: None) -> pa.Table:
    """Scores query against gallery under every setting and writes `data/ablation.parquet`.

    Args:
        params: All parameters; `centralize` gives what does not vary.
        root: The project's root folder.
        on_row: Called after every setting.

    Returns:
        The table, one row per setting.

    Raises:
        DataError: A split has no labels or no features.
    """
    layout = schema.Layout(root)
    tracklets = params.centralize.tracklets
    query = load_images(layout, params.score.query, tracklets)
    gallery = load_images(layout, params.score.gallery, tracklets)
    has_train = "train" in params.references
    load_train = (lambda: load_feature_set(layout, "train", tracklets)[1]) if has_train else None
    rows = []
    for study, name, value, setting, n_drawings in settings(params, query, gallery):
        q, g = (
            side if n_drawings is None else side.with_drawings(n_drawings)
            for side in (query, gallery)
        )
        result, id2 = evaluate_setting(q, g, setting, params, load_train)
        rows.append(
            {
                "study": study,
                "setting": name,
                "value": value,
                "mAP": result.mAP,
                "mINP": result.mINP,
                "rank_1": result.rank(1),
                "id2": id2,
            }
        )
        on_row()
    table = pa.Table.from_pylist(rows, schema=schema.ABLATION)
    write_table(layout.ablation, table, producer="ablation")
    return table


def settings(params: Params, query: Images, gallery: Images) -> Iterator[Row]:
    """Every setting of the study, the base first."""
    yield "steps", "base", None, Setting(), None
    chains = [chain for chain in params.variants.values() if chain]
    for step in used_steps(params):
        yield "steps", f"{step}, {GALLERY} only", None, Setting(gallery=(step,)), None
        yield "steps", f"{step}, {QUERY} only", None, Setting(query=(step,)), None
        if (step,) not in chains:
            yield "steps", f"{step}, both", None, Setting.both((step,)), None
    for name, chain in params.variants.items():
        if chain:
            yield "steps", name, None, Setting.both(chain), None
    if "fuse" in used_steps(params):
        fuse = params.centralize.step("fuse")
        for n_drawings in range(1, query.n_drawings + 1):
            yield "poses", "fuse", n_drawings, Setting.both(("fuse",)), n_drawings
        for eta in ETAS:
            yield "eta", "fuse", eta, Setting.both(("fuse",), fuse=replace(fuse, eta=eta)), None
    if "nfc" in used_steps(params):
        nfc = params.centralize.step("nfc")
        largest_k = min(MAX_K, len(query.image_ids) - 1, len(gallery.image_ids) - 1)
        for k in range(1, largest_k + 1):
            for label, chain in nfc_chains(params).items():
                yield "k", label, k, Setting.both(chain, nfc=replace(nfc, k1=k, k2=k)), None


def used_steps(params: Params) -> list[str]:
    """The steps on features that variants name, each once, in the order of their first naming."""
    chains = [feature_chain(chain) for chain in params.variants.values()]
    return list(dict.fromkeys(step for chain in chains for step in chain))


def nfc_chains(params: Params) -> dict[str, Chain]:
    """`nfc` alone, and the longest variant with it."""
    longest = max(
        (item for item in params.feature_variants().items() if "nfc" in item[1]),
        key=lambda item: len(item[1]),
    )
    return {"nfc": ("nfc",), longest[0]: longest[1]}
