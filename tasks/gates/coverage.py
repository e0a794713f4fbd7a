"""Whether a table has exactly the rows that it must have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pose2id.extractors.families import PRECOMPUTED
from tasks.gates.running import Check
from tasks.stages.poses import read_poses
from tasks.tables import schema
from tasks.tables.params import Params
from tasks.tables.store import read_table

if TYPE_CHECKING:
    import pandas as pd

KEYS = ["image_id", "pose_id"]


def expected_pictures(layout: schema.Layout, split: str, params: Params) -> pd.DataFrame:
    """Keys of all pictures that the generator must have made: images to draw x poses."""
    import pandas as pd

    index = read_table(layout.index(split), ["image_id", "distractor"]).to_pandas()
    if not params.generate.distractors:
        index = index[~index["distractor"]]
    poses = pd.DataFrame({"pose_id": read_poses(layout)[0]}, dtype="int16")
    if params.generate.generator == "none":
        index = index[:0]
    expected: pd.DataFrame = index[["image_id"]].drop_duplicates().merge(poses, how="cross")
    return expected


def given_drawings(found: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Keys of drawings whose features were given without their pictures.

    Args:
        found: The features that are there, `image_id` and `pose_id`.
        params: All parameters.
    """
    without_pictures = (
        params.features.extractor == PRECOMPUTED and params.generate.generator == "none"
    )
    drawn: pd.DataFrame = found[found["pose_id"] != schema.ORIGINAL_POSE_ID][KEYS]
    return drawn if without_pictures else drawn[:0]


def expected_originals(layout: schema.Layout, split: str) -> pd.DataFrame:
    """Keys of all originals."""
    import pandas as pd

    frame: pd.DataFrame = read_table(layout.index(split), ["image_id"]).to_pandas()
    frame = frame.drop_duplicates()
    frame["pose_id"] = pd.Series(schema.ORIGINAL_POSE_ID, frame.index, dtype="int16")
    return frame


def with_coverage(found: pd.DataFrame, expected: pd.DataFrame) -> pd.DataFrame:
    """Rows of both; column `presence` tells `both`, `missing` or `unknown`.

    Missing rows have null in every other column, which all expectations of values skip.
    """
    frame = found.merge(expected, on=KEYS, how="outer", indicator="presence", sort=True)
    names = {"left_only": "unknown", "right_only": "missing", "both": "both"}
    frame["presence"] = frame["presence"].astype(str).map(names)
    frame["in_table"] = (frame["presence"] != "missing").astype(int)
    return frame


def coverage_checks(n_expected: int) -> tuple[Check, ...]:
    """Expectations of a frame made by `with_coverage`.

    Args:
        n_expected: Number of rows that the table must have.
    """
    outside = "ExpectColumnValuesToNotBeInSet"
    count = {"column": "in_table", "min_value": n_expected, "max_value": n_expected}
    return (
        Check("ExpectColumnSumToBeBetween", count, "wrong_count", "fail"),
        Check("ExpectCompoundColumnsToBeUnique", {"column_list": KEYS}, "duplicate_id", "fail"),
        Check(outside, {"column": "presence", "value_set": ["missing"]}, "missing_row", "fail"),
        Check(outside, {"column": "presence", "value_set": ["unknown"]}, "unknown_row", "fail"),
    )
