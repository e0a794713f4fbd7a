"""The suites of the features: finite, not zero, not collapsed, not drifted since the last run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pose2id.quality import COLLAPSED_BELOW, FeatureStatistics, feature_drift
from tasks.gates.coverage import (
    coverage_checks,
    expected_originals,
    expected_pictures,
    given_drawings,
    with_coverage,
)
from tasks.gates.running import Check, Suite
from tasks.gates.tables import producer_of
from tasks.tables import schema
from tasks.tables.aside import read_kept
from tasks.tables.params import Params
from tasks.tables.seal import open_sealed
from tasks.tables.store import read_table, sha256_hex, vectors, write_table

if TYPE_CHECKING:
    import pandas as pd

BETWEEN = "ExpectColumnValuesToBeBetween"
ROWS_AT_ONCE = 8192
# Fewer images than this differ from any other few by chance as much as by fault.
MIN_DRIFT_ROWS = 50


@dataclass(frozen=True, slots=True)
class History:
    """The features of this run beside those of the last good one.

    Attributes:
        kind: `original` or `generated`.
        file: Where the last good run's statistics are, and where this run's will be.
        now: Statistics of this run.
        drift: See `pose2id.quality.feature_drift`; `None` where there is nothing to compare.
        note: For the log.
    """

    kind: str
    file: Path
    now: FeatureStatistics
    drift: float | None
    note: str


def features_suite(
    layout: schema.Layout, split: str, params: Params, scores: pd.DataFrame
) -> Suite:
    """What is expected of each feature of a split.

    Args:
        layout: Where the tables are.
        split: Name of the split.
        params: All parameters.
        scores: One row per original and generated picture, columns of `schema.SCORES`.
    """
    import pandas as pd

    found = read_table(layout.features(split), ["image_id", "pose_id"]).to_pandas()
    found = found.merge(scores, on=["image_id", "pose_id"], how="left")
    expected = pd.concat(
        [
            expected_originals(layout, split),
            expected_pictures(layout, split, params),
            given_drawings(found, params),
        ]
    )
    checks = (
        *coverage_checks(len(expected)),
        Check(BETWEEN, {"column": "n_not_finite", "max_value": 0}, "nan_feature", "quarantine"),
        Check(
            BETWEEN,
            {"column": "feature_norm", "min_value": 0, "strict_min": True},
            "zero_norm",
            "quarantine",
        ),
    )
    return Suite("features", with_coverage(found, expected), checks, ("image_id", "pose_id"))


def statistics(layout: schema.Layout, split: str, n_shards: int) -> dict[str, FeatureStatistics]:
    """Statistics of the features of originals and of generated pictures, in bounded memory."""
    found: dict[str, FeatureStatistics] = {}
    for shard in range(n_shards):
        file = open_sealed(layout.features(split) / f"part-{shard:04d}.parquet")
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=["pose_id", "feature"]):
            rows = vectors(pa.Table.from_batches([batch]))
            originals = batch.column("pose_id").to_numpy() == schema.ORIGINAL_POSE_ID
            for kind, mask in (("original", originals), ("generated", ~originals)):
                part = FeatureStatistics.of(rows[mask])
                found[kind] = found[kind].join(part) if kind in found else part
    return {kind: item for kind, item in found.items() if item.n_rows}


def dimensions_suite(found: Mapping[str, FeatureStatistics], params: Params) -> Suite | None:
    """Most dimensions must vary, those of originals and of pictures each by themselves.

    Judged together, equal originals would pass because their pictures differ. `None` when there
    are too few features to tell.
    """
    import pandas as pd

    spreads = {
        f"relative_spread_{kind}": item.relative_spread()
        for kind, item in sorted(found.items())
        if item.n_rows > 1
    }
    if not spreads:
        return None
    n_dimensions = len(next(iter(spreads.values())))
    frame = pd.DataFrame({"dimension": np.arange(n_dimensions), **spreads})
    limits = {
        "min_value": COLLAPSED_BELOW,
        "mostly": 1 - params.validate_.max_collapsed_fraction,
    }
    checks = tuple(
        Check(
            BETWEEN,
            {"column": column, **limits},
            "collapsed_feature",
            "fail",
            "validate.max_collapsed_fraction",
        )
        for column in spreads
    )
    return Suite("feature_dimensions", frame, checks, ("dimension",))


def histories(
    layout: schema.Layout, split: str, params: Params, found: Mapping[str, FeatureStatistics]
) -> list[History]:
    """Compares with the last good run of the same dataset, network and generator."""
    made_by = [params.dataset.name, split, producer_of(layout.features(split))]
    pictures = [producer_of(layout.generated(split)), params.generate.model_dump_json()]
    result = []
    for kind, now in found.items():
        name = sha256_hex(*made_by, *(pictures if kind == "generated" else []))[:16]
        file = layout.cache / "reference" / f"{split}-{kind}-{name}.parquet"
        before = _read(file, layout)
        if before is None:
            result.append(History(kind, file, now, None, "no earlier run to compare with"))
            continue
        if min(now.n_rows, before.n_rows) < MIN_DRIFT_ROWS:
            note = f"fewer than {MIN_DRIFT_ROWS} features, too few to tell a drift"
            result.append(History(kind, file, now, None, note))
            continue
        drift = feature_drift(now, before)
        result.append(History(kind, file, now, drift, f"drift {drift:.3f} since the last run"))
    return result


def drift_suite(compared: list[History], params: Params) -> Suite | None:
    """The features must not have moved far; `None` where there is nothing to compare.

    Its outcome depends on earlier runs, so it must not enter any out.
    """
    import pandas as pd

    rows = [(item.kind, item.drift) for item in compared if item.drift is not None]
    if not rows:
        return None
    limit = {"column": "drift", "max_value": params.validate_.max_feature_drift}
    check = Check(BETWEEN, limit, "feature_drift", "fail", "validate.max_feature_drift")
    return Suite(
        "drift", pd.DataFrame(rows, columns=["kind", "drift"]), (check,), ("kind", "drift")
    )


def remember(compared: list[History]) -> None:
    """Makes this run the one that the next is compared with."""
    for item in compared:
        columns = {
            "dimension": pa.array(range(len(item.now.mean)), pa.int32()),
            "n_rows": pa.array([item.now.n_rows] * len(item.now.mean), pa.int64()),
            "mean": item.now.mean,
            "squares": item.now.squares,
        }
        table = pa.table(columns, schema=schema.REFERENCE)
        write_table(item.file, table, producer="validate")


def _read(file: Path, layout: schema.Layout) -> FeatureStatistics | None:
    table = read_kept(file, layout.cache)
    if table is None:
        return None
    mean, squares = (table.column(name).to_numpy() for name in ("mean", "squares"))
    return FeatureStatistics(table.column("n_rows")[0].as_py(), mean, squares)
