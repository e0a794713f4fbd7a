"""The paper's ablation on this project's features: what each step adds, and how much of it pays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from tasks.studies.evaluation import Images, Setting, evaluate_setting, load_images
from tasks.tables import schema
from tasks.tables.params import Params
from tasks.tables.store import write_table

ETAS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
MAX_K = 10

Row = tuple[str, str, float | None, Setting, int | None]  # study, setting, value, ..., poses


def run_ablation(params: Params, root: Path, on_row: Callable[[], None] = lambda: None) -> pa.Table:
    """Scores query against gallery under every setting and writes `data/ablation.parquet`.

    Args:
        params: All parameters; `centralize` gives eta and k where they are not what varies.
        root: The project's root folder.
        on_row: Called after every setting.

    Returns:
        The table, one row per setting.

    Raises:
        DataError: A split has no labels or no features.
    """
    layout = schema.Layout(root)
    query = load_images(layout, params.score.query, params.centralize)
    gallery = load_images(layout, params.score.gallery, params.centralize)
    rows = []
    for study, name, value, setting, n_poses in settings(params, query, gallery):
        q, g = (side if n_poses is None else side.with_poses(n_poses) for side in (query, gallery))
        result, id2 = evaluate_setting(q, g, setting)
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
    eta = params.centralize.fusion.eta
    k1, k2 = params.centralize.nfc.k1, params.centralize.nfc.k2
    both = ("query", "gallery")
    yield "steps", "base", None, Setting(), None
    for sides, label in (
        (("gallery",), "gallery only"),
        (("query",), "query only"),
        (both, "both"),
    ):
        yield "steps", f"NFC, {label}", None, Setting(k1=k1, k2=k2, nfc_sides=sides), None
    for sides, label in (
        (("gallery",), "gallery only"),
        (("query",), "query only"),
        (both, "both"),
    ):
        yield "steps", f"IPG, {label}", None, Setting(eta=eta, ipg_sides=sides), None
    yield "steps", "IPG and NFC", None, Setting(eta=eta, k1=k1, k2=k2), None
    for n_poses in range(1, query.generated.shape[1] + 1):
        yield "poses", "IPG", n_poses, Setting(eta=eta), n_poses
    largest_k = min(MAX_K, len(query.image_ids) - 1, len(gallery.image_ids) - 1)
    for k in range(1, largest_k + 1):
        yield "k", "NFC", k, Setting(k1=k, k2=k), None
        yield "k", "IPG and NFC", k, Setting(eta=eta, k1=k, k2=k), None
    for value in ETAS:
        yield "eta", "IPG", value, Setting(eta=value), None
