"""The suite of the generated pictures: all there, decodable, not blank, each in its own pose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.gates.coverage import coverage_checks, expected_pictures, with_coverage
from tasks.gates.running import Check, Suite
from tasks.tables import schema
from tasks.tables.params import Params
from tasks.tables.store import read_table

if TYPE_CHECKING:
    import pandas as pd

BETWEEN = "ExpectColumnValuesToBeBetween"
IN_SET = "ExpectColumnValuesToBeInSet"
UNDECODABLE = "undecodable"


def generated_suite(
    layout: schema.Layout, split: str, params: Params, scores: pd.DataFrame
) -> Suite:
    """What is expected of the generated pictures of a split.

    Args:
        layout: Where the tables are.
        split: Name of the split.
        params: All parameters.
        scores: One row per original and generated picture, columns of `schema.SCORES`.
    """
    columns = ["image_id", "pose_id", "format", "width_px", "height_px"]
    found = read_table(layout.generated(split), columns).to_pandas()
    found = found.merge(scores, on=["image_id", "pose_id"], how="left")
    found["declared_size"] = found["width_px"].astype(str) + "x" + found["height_px"].astype(str)
    found["decoded_size"] = found["decoded_size"].fillna(UNDECODABLE)
    sizes = found["declared_size"].mode().tolist()[:1]
    expected = expected_pictures(layout, split, params)
    checks = (
        *coverage_checks(len(expected)),
        Check(
            IN_SET,
            {"column": "format", "value_set": [params.generate.format]},
            "wrong_format",
            "quarantine",
            "generate.format",
        ),
        Check(IN_SET, {"column": "declared_size", "value_set": sizes}, "wrong_size", "quarantine"),
        Check(
            "ExpectColumnValuesToNotBeInSet",
            {"column": "decoded_size", "value_set": [UNDECODABLE]},
            "undecodable",
            "quarantine",
        ),
        Check(
            IN_SET,
            {"column": "decoded_size", "value_set": [*sizes, UNDECODABLE]},
            "wrong_size",
            "quarantine",
        ),
        *_scores(params),
    )
    frame = with_coverage(found, expected)
    return Suite("generated", frame, checks, ("image_id", "pose_id"))


def _scores(params: Params) -> list[Check]:
    limits = params.validate_
    return [
        Check(
            BETWEEN,
            {"column": column, "min_value": getattr(limits, f"min_{column}")},
            code,
            "quarantine",
            f"validate.min_{column}",
        )
        for column, code in (
            ("pixel_std", "blank"),
            ("pose_difference", "poses_identical"),
            *((("pose_pck", "pose_lost"),) if limits.min_pose_pck is not None else ()),
            ("identity_similarity", "identity_lost"),
        )
    ]
