"""The suite of the index: keys, labels, cameras, sizes, duplicates, and the originals' pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.gates.running import Check, Suite
from tasks.tables import schema
from tasks.tables.dataset import reader_of
from tasks.tables.params import Params
from tasks.tables.store import read_table

if TYPE_CHECKING:
    import pandas as pd

BETWEEN = "ExpectColumnValuesToBeBetween"
IN_SET = "ExpectColumnValuesToBeInSet"
NOT_NULL = "ExpectColumnValuesToNotBeNull"
UNIQUE = "ExpectColumnValuesToBeUnique"


def index_suite(layout: schema.Layout, split: str, params: Params, scores: pd.DataFrame) -> Suite:
    """What is expected of the index of a split.

    Args:
        layout: Where the tables are.
        split: Name of the split.
        params: All parameters.
        scores: One row per original and generated picture, columns of `schema.SCORES`.
    """
    frame = read_table(layout.index(split)).to_pandas()
    originals = scores[scores["pose_id"] == schema.ORIGINAL_POSE_ID]
    frame = frame.merge(originals, on="image_id", how="left")
    frame["pose_id"] = schema.ORIGINAL_POSE_ID
    frame["n_pixels"] = frame["width_px"] * frame["height_px"]
    same_bytes = frame.groupby("sha256")
    frame["n_earlier_copies"] = same_bytes.cumcount()
    frame["n_labels_of_bytes"] = same_bytes["pid"].transform("nunique")
    checks = [*_keys(split), *_labels(frame), *_pixels(params)]
    checks.append(
        Check(
            BETWEEN,
            {"column": "n_earlier_copies", "max_value": 0},
            "duplicate_image",
            params.validate_.duplicates,
            "validate.duplicates",
        )
    )
    if split == params.score.gallery != params.score.query:
        query = read_table(layout.index(params.score.query), ["sha256"]).to_pandas()
        frame["in_query"] = frame["sha256"].isin(query["sha256"]).astype(int)
        checks += [
            Check(
                BETWEEN,
                {"column": "in_query", "max_value": 0},
                "query_in_gallery",
                params.validate_.query_in_gallery,
                "validate.query_in_gallery",
            ),
            *_cameras(frame),
        ]
    return Suite("index", frame, tuple(checks), ("image_id",))


def counts_suite(layout: schema.Layout, split: str, params: Params) -> Suite | None:
    """The numbers of a split beside those that its authors publish, where these are known."""
    import pandas as pd

    official = reader_of(params.dataset).expected(split, params.dataset.name)
    if official is None:
        return None
    index = read_table(layout.index(split), ["pid", "tracklet_id"]).to_pandas()
    found = {
        "images": len(index),
        "people": index["pid"].nunique(),
        "tracklets": index["tracklet_id"].nunique(),
    }
    checks = tuple(
        Check(IN_SET, {"column": what, "value_set": list(numbers)}, "not_as_published", "warn")
        for what in found
        if (numbers := getattr(official, what))
    )
    return Suite("counts", pd.DataFrame([{"split": split, **found}]), checks, ("split",))


def rejects_suite(layout: schema.Layout, split: str) -> Suite:
    """Every file that was not used is listed once, with a reason."""
    checks = (
        Check(UNIQUE, {"column": "path"}, "duplicate_reject", "fail"),
        Check(
            "ExpectColumnValueLengthsToBeBetween",
            {"column": "reason", "min_value": 1},
            "reject_without_reason",
            "fail",
        ),
    )
    return Suite("rejects", read_table(layout.rejects(split)).to_pandas(), checks, ("path",))


def _keys(split: str) -> list[Check]:
    return [
        Check(UNIQUE, {"column": "image_id"}, "duplicate_id", "fail"),
        Check(UNIQUE, {"column": "path"}, "duplicate_path", "fail"),
        Check(IN_SET, {"column": "split", "value_set": [split]}, "wrong_split", "fail"),
        Check(
            IN_SET,
            {"column": "modality", "value_set": ["visible", "infrared"]},
            "unknown_modality",
            "fail",
        ),
        Check(
            "ExpectColumnValuesToMatchRegex",
            {"column": "sha256", "regex": "^[0-9a-f]{64}$"},
            "wrong_digest",
            "fail",
        ),
    ]


def _labels(frame: pd.DataFrame) -> list[Check]:
    """Labels and cameras may lack as a whole, or for single images, which is worth a warning."""
    checks = [
        Check(BETWEEN, {"column": "pid", "min_value": 0}, "invalid_label", "quarantine"),
        Check(BETWEEN, {"column": "camid", "min_value": 0}, "invalid_camera", "quarantine"),
        Check(
            BETWEEN,
            {"column": "n_labels_of_bytes", "max_value": 1},
            "contradicting_labels",
            "warn",
        ),
    ]
    if frame["pid"].notna().any():
        checks.append(Check(NOT_NULL, {"column": "pid"}, "missing_label", "warn"))
    if frame["camid"].notna().any():
        checks.append(Check(NOT_NULL, {"column": "camid"}, "missing_camera", "warn"))
    return checks


def _cameras(frame: pd.DataFrame) -> list[Check]:
    """With one camera every match is of the query's own camera, so nothing can be scored."""
    if frame["camid"].isna().all():
        return []
    kwargs = {"column": "camid", "min_value": 2}
    return [Check("ExpectColumnUniqueValueCountToBeBetween", kwargs, "single_camera", "warn")]


def _pixels(params: Params) -> list[Check]:
    smallest = {"min_value": params.index.min_side_px}
    return [
        Check(
            BETWEEN,
            {"column": "width_px", **smallest},
            "wrong_size",
            "quarantine",
            "index.min_side_px",
        ),
        Check(
            BETWEEN,
            {"column": "height_px", **smallest},
            "wrong_size",
            "quarantine",
            "index.min_side_px",
        ),
        Check(
            BETWEEN,
            {"column": "n_pixels", "max_value": params.index.max_pixels},
            "wrong_size",
            "quarantine",
            "index.max_pixels",
        ),
        Check(NOT_NULL, {"column": "decoded_size"}, "undecodable", "quarantine"),
        Check(
            BETWEEN,
            {"column": "pixel_std", "min_value": params.validate_.min_pixel_std},
            "blank",
            "quarantine",
            "validate.min_pixel_std",
        ),
    ]
