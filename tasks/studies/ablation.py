"""What each step adds on this project's features, alone and in the variants, and how much pays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from pose2id.steps.base import auto_keys
from pose2id.steps.chain import Chain, feature_chain
from pose2id.steps.registry import STEPS
from tasks.choosing.evaluation import GALLERY, QUERY, Images, Setting, evaluate_setting, load_images
from tasks.tables import schema
from tasks.tables.choice import applied
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
    for study, name, value, setting, n_drawings in settings(params, layout, query, gallery):
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


def settings(
    params: Params, layout: schema.Layout, query: Images, gallery: Images
) -> Iterator[Row]:
    """Every setting of the study, the base first; a variant's with what `auto` stands for."""
    yield "steps", "base", None, Setting(), None
    steps = known_values(params, layout)
    chains = [chain for chain in params.variants.values() if chain]
    for step in used_steps(params):
        yield "steps", f"{step}, {GALLERY} only", None, Setting(gallery=(step,), params=steps), None
        yield "steps", f"{step}, {QUERY} only", None, Setting(query=(step,), params=steps), None
        if (step,) not in chains:
            yield "steps", f"{step}, both", None, Setting.both((step,), **steps), None
    for name, chain in params.variants.items():
        if chain:
            what = applied(params, layout, name)
            both = what.chain + chain[len(feature_chain(chain)) :]
            yield "steps", name, None, Setting.both(both, **what.params), None
    if "fuse" in used_steps(params):
        fuse = steps["fuse"]
        for n_drawings in range(1, query.n_drawings + 1):
            yield "poses", "fuse", n_drawings, Setting.both(("fuse",), **steps), n_drawings
        for eta in ETAS:
            values = {**steps, "fuse": replace(fuse, eta=eta)}
            yield "eta", "fuse", eta, Setting.both(("fuse",), **values), None
    if "nfc" in used_steps(params):
        nfc = steps["nfc"]
        largest_k = min(MAX_K, len(query.image_ids) - 1, len(gallery.image_ids) - 1)
        for k in range(1, largest_k + 1):
            for label, chain in nfc_chains(params).items():
                values = {**steps, "nfc": replace(nfc, k1=k, k2=k)}
                yield "k", label, k, Setting.both(chain, **values), None


def known_values(params: Params, layout: schema.Layout) -> dict[str, Any]:
    """Each step's parameters: `auto` is what the first variant that does the step has, or 8 and 2.

    A study of a step that every choice left out shows it at the published k and the default eta.
    """
    published = {name: STEPS[name].params() for name in STEPS}
    found = {
        name: replace(step, **{key: getattr(published[name], key) for key in auto_keys(step)})
        for name, step in params.centralize.by_step().items()
    }
    for variant in reversed(params.feature_variants()):
        what = applied(params, layout, variant)
        found |= {name: what.params[name] for name in what.chain}
    return found


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
