"""The one source of table names, columns and types."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

N_KEYPOINTS = 18
ORIGINAL_POSE_ID = -1
# Folders of data/ that hold outs of stages.
TABLE_FOLDERS = (
    *("index", "keypoints", "generated", "features", "quality", "centralized", "audit", "results"),
)
NOTES = b"pose2id.notes"  # in a file's metadata: what its reader should know, a line each
APPLIED = b"pose2id.applied"  # likewise: the steps that were done and their values, as JSON

# An image that cannot be used, a file that is no image and is not meant to be one, and an image
# that data/corrections.csv leaves out.
REJECT_KINDS = ("unusable", "not_image", "dropped")

INDEX = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("pid", pa.int32()),
        pa.field("camid", pa.int16()),
        pa.field("modality", pa.string(), nullable=False),
        pa.field("clothes_id", pa.int32()),
        pa.field("distractor", pa.bool_(), nullable=False),
        pa.field("tracklet_id", pa.string()),
        pa.field("group", pa.string()),
        pa.field("width_px", pa.int32(), nullable=False),
        pa.field("height_px", pa.int32(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("n_bytes", pa.int64(), nullable=False),
    ]
)

REJECTS = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # of REJECT_KINDS
        pa.field("reason", pa.string(), nullable=False),
    ]
)

POSES = pa.schema(
    [
        pa.field("pose_id", pa.int16(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("keypoints", pa.list_(pa.float32(), N_KEYPOINTS * 3), nullable=False),
    ]
)

# Of real images; `pose_id` is -1, as it is of an original among the features.
KEYPOINTS = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("pose_id", pa.int16(), nullable=False),
        pa.field("keypoints", pa.list_(pa.float32(), N_KEYPOINTS * 3), nullable=False),
        pa.field("key", pa.string(), nullable=False),
    ]
)

GENERATED = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("pose_id", pa.int16(), nullable=False),
        pa.field("image", pa.binary(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("width_px", pa.int32(), nullable=False),
        pa.field("height_px", pa.int32(), nullable=False),
        pa.field("seed", pa.uint64(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
    ]
)


def features(dim: int) -> pa.Schema:
    """Features of originals (`pose_id` -1) and generated pictures, raw, `dim` wide."""
    return pa.schema(
        [
            pa.field("image_id", pa.string(), nullable=False),
            pa.field("pose_id", pa.int16(), nullable=False),
            pa.field("feature", pa.list_(pa.float32(), dim), nullable=False),
            pa.field("key", pa.string(), nullable=False),
        ]
    )


QUALITY = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("pose_id", pa.int16(), nullable=False),
        pa.field("pixel_std", pa.float32()),
        pa.field("pose_difference", pa.float32()),
        pa.field("pose_pck", pa.float32()),  # null where validate.min_pose_pck is
        pa.field("identity_similarity", pa.float32()),
        pa.field("feature_norm", pa.float32()),
        pa.field("accepted", pa.bool_(), nullable=False),
        pa.field("reasons", pa.list_(pa.string()), nullable=False),
    ]
)

# By-product: the rejected rows, each with the command that has it made again.
QUARANTINE = QUALITY.append(pa.field("remake", pa.string(), nullable=False))

# By-product of a shard of `validate`; `key` stands for the content that the pixel scores are of.
SCORES = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("pose_id", pa.int16(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("decoded_size", pa.string()),
        pa.field("pixel_std", pa.float32()),
        pa.field("pose_difference", pa.float32()),
        pa.field("pose_pck", pa.float32()),
        pa.field("identity_similarity", pa.float32()),
        pa.field("feature_norm", pa.float32()),
        pa.field("n_not_finite", pa.int32()),
    ]
)

# By-product: what the features of the last good run were like.
REFERENCE = pa.schema(
    [
        pa.field("dimension", pa.int32(), nullable=False),
        pa.field("n_rows", pa.int64(), nullable=False),
        pa.field("mean", pa.float64(), nullable=False),
        pa.field("squares", pa.float64(), nullable=False),
    ]
)

# By-product: mAP of the last good run of each kind (dataset, splits, protocol, network, steps).
LAST_GOOD_RESULTS = pa.schema(
    [
        pa.field("kind", pa.list_(pa.string()), nullable=False),
        pa.field("mAP", pa.float64()),
    ]
)

EXPECTATIONS = pa.schema(
    [
        pa.field("suite", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("expectation", pa.string(), nullable=False),
        pa.field("column", pa.string()),
        pa.field("code", pa.string(), nullable=False),
        pa.field("severity", pa.string(), nullable=False),
        pa.field("success", pa.bool_(), nullable=False),
        pa.field("n_checked", pa.int64(), nullable=False),
        pa.field("n_unexpected", pa.int64(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)


def centralized(dim: int) -> pa.Schema:
    """Features of one variant, L2-normalised, `dim` wide (wider for fusion by concatenation)."""
    return pa.schema(
        [
            pa.field("variant", pa.string(), nullable=False),
            pa.field("image_id", pa.string(), nullable=False),
            pa.field("feature", pa.list_(pa.float32(), dim), nullable=False),
        ]
    )


# One row per image whose label is in doubt; of two ids that are one person, the images of the
# smaller one; of an id that is two persons, those of the smaller part.
LABEL_ERROR_KINDS = ("wrong_person", "same_person", "two_persons")
LABEL_ERRORS = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),  # of LABEL_ERROR_KINDS
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("pid", pa.int32(), nullable=False),
        pa.field("other_id", pa.string(), nullable=False),  # the image that speaks against it
        pa.field("other_pid", pa.int32()),  # who it seems to be; null where that is no known id
        pa.field("score", pa.float32(), nullable=False),  # 0 to 1, comparable within a kind
    ]
)

NEAR_DUPLICATES = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("other_id", pa.string(), nullable=False),
        pa.field("similarity", pa.float32(), nullable=False),  # cosine of the raw features
        pa.field("between_splits", pa.bool_(), nullable=False),
    ]
)


def neighbors(k: int) -> pa.Schema:
    """The neighbour table of a split's features, kept between runs: ids are row numbers."""
    return pa.schema(
        [
            pa.field("image_id", pa.string(), nullable=False),
            pa.field("feature_sha256", pa.binary(32), nullable=False),
            pa.field("neighbor_rows", pa.list_(pa.int64(), k), nullable=False),
            pa.field("sq_distances", pa.list_(pa.float32(), k), nullable=False),
        ]
    )


# The last report's, kept between runs; the key is what each was made from.
THUMBNAILS = pa.schema(
    [
        pa.field("key", pa.binary(32), nullable=False),
        pa.field("width_px", pa.int32(), nullable=False),
        pa.field("height_px", pa.int32(), nullable=False),
        pa.field("image", pa.binary(), nullable=False),
    ]
)

SUMMARY = pa.schema(
    [
        pa.field("variant", pa.string(), nullable=False),
        pa.field("steps", pa.list_(pa.string()), nullable=False),
        # What was done of them: `auto` may leave a step out; eta, k1, k2 null without the step.
        pa.field("applied", pa.list_(pa.string())),
        pa.field("eta", pa.float64()),
        pa.field("k1", pa.int32()),
        pa.field("k2", pa.int32()),
        pa.field("reranked", pa.bool_(), nullable=False),
        pa.field("mAP", pa.float64()),
        pa.field("mINP", pa.float64()),
        pa.field("rank_1", pa.float64()),
        pa.field("rank_5", pa.float64()),
        pa.field("rank_10", pa.float64()),
        pa.field("rank_20", pa.float64()),
        pa.field("id2", pa.float64()),
        # Of the gallery's clusters with cameras (the bias) and persons; null without them.
        pa.field("camera_nmi", pa.float64()),
        pa.field("camera_nmi_by_chance", pa.float64()),
        pa.field("identity_nmi", pa.float64()),
        pa.field("tpr_at_fpr_1e4", pa.float64()),
        pa.field("tpr_at_fpr_1e3", pa.float64()),
        pa.field("tpr_at_fpr_1e2", pa.float64()),
        pa.field("mAP_delta", pa.float64()),
        pa.field("mAP_delta_low", pa.float64()),
        pa.field("mAP_delta_high", pa.float64()),
        # What the last step adds to the variant without it, where that is scored, too.
        pa.field("without_last_step", pa.string()),
        pa.field("step_delta", pa.float64()),
        pa.field("step_delta_low", pa.float64()),
        pa.field("step_delta_high", pa.float64()),
        pa.field("n_queries", pa.int64(), nullable=False),
        pa.field("n_valid_queries", pa.int64(), nullable=False),
        pa.field("n_gallery", pa.int64(), nullable=False),
        pa.field("n_distractors", pa.int64(), nullable=False),
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("n_trials", pa.int32()),
        pa.field("mAP_std", pa.float64()),
        pa.field("rank_1_std", pa.float64()),
        pa.field("transductive", pa.bool_(), nullable=False),
        pa.field("note", pa.string()),
    ]
)

QUERIES = pa.schema(
    [
        pa.field("variant", pa.string(), nullable=False),
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("ap", pa.float64()),
        pa.field("inp", pa.float64()),
        pa.field("first_hit_rank", pa.int32()),
        pa.field("n_positives", pa.int32(), nullable=False),
    ]
)

IDENTITIES = pa.schema(
    [
        pa.field("variant", pa.string(), nullable=False),
        pa.field("pid", pa.int32(), nullable=False),
        pa.field("mAP", pa.float64()),
        pa.field("id2", pa.float64()),
        pa.field("n_queries", pa.int32(), nullable=False),
        pa.field("n_gallery", pa.int32(), nullable=False),
    ]
)

RANKINGS = pa.schema(
    [
        pa.field("variant", pa.string(), nullable=False),
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("gallery_id", pa.string(), nullable=False),
        pa.field("distance", pa.float32(), nullable=False),
        pa.field("is_match", pa.bool_(), nullable=False),
        pa.field("is_junk", pa.bool_(), nullable=False),
    ]
)

ABLATION = pa.schema(
    [
        pa.field("study", pa.string(), nullable=False),
        pa.field("setting", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("mAP", pa.float64(), nullable=False),
        pa.field("mINP", pa.float64(), nullable=False),
        pa.field("rank_1", pa.float64(), nullable=False),
        pa.field("id2", pa.float64(), nullable=False),
    ]
)

# What the train split says of every setting of each variant's chain.
CHOICE = pa.schema(
    [
        pa.field("chain", pa.list_(pa.string()), nullable=False),  # steps of a variant, on features
        pa.field("setting", pa.int32(), nullable=False),
        pa.field("steps", pa.list_(pa.string()), nullable=False),  # those that are done
        pa.field("eta", pa.float64(), nullable=False),  # 0 without fuse
        pa.field("k", pa.int32(), nullable=False),  # k1 and k2, 0 without nfc
        pa.field("weight", pa.float64(), nullable=False),  # 0 without second_opinion
        pa.field("mAP", pa.float64()),  # mean over people; null where nothing could be measured
        pa.field("below_best", pa.float64()),
        pa.field("below_best_error", pa.float64()),  # standard error over people
        pa.field("gain", pa.float64()),  # over the chain without its free steps
        pa.field("gain_low", pa.float64()),  # ends of the 95 % interval
        pa.field("gain_high", pa.float64()),
        pa.field("best", pa.bool_(), nullable=False),
        pa.field("chosen", pa.bool_(), nullable=False),
        pa.field("why", pa.string(), nullable=False),
        pa.field("n_people", pa.int32(), nullable=False),
        pa.field("n_queries", pa.int32(), nullable=False),
        pa.field("n_images", pa.int32(), nullable=False),
    ]
)

RUNS = pa.schema(
    [
        pa.field("started_utc", pa.timestamp("s", tz="UTC"), nullable=False),
        pa.field("duration_s", pa.float64(), nullable=False),
        pa.field("trigger", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("git_commit", pa.string()),
        pa.field("params_sha256", pa.string(), nullable=False),
        pa.field("dvc_lock_sha256", pa.string()),
        pa.field("n_images", pa.int64(), nullable=False),
        pa.field("n_rejected", pa.int64(), nullable=False),
        pa.field("n_generated", pa.int64(), nullable=False),
        pa.field("n_quarantined", pa.int64(), nullable=False),
        pa.field("metrics_json", pa.string(), nullable=False),
        pa.field("stage_seconds_json", pa.string(), nullable=False),
        pa.field("machine", pa.string(), nullable=False),
    ]
)


class Layout:
    """Where every table lives below a project's root."""

    def __init__(self, root: Path = Path()) -> None:
        self.root = root
        self.data = root / "data"
        self.poses = self.data / "poses.parquet"
        self.results = self.data / "results"
        self.choice = self.data / "choice.parquet"
        self.database = self.data / "pose2id.duckdb"
        self.corrections = self.data / "corrections.csv"
        self.label_errors = self.data / "audit" / "label_errors.parquet"
        self.near_duplicates = self.data / "audit" / "near_duplicates.parquet"
        self.runs = self.data / "runs.parquet"
        self.ablation = self.data / "ablation.parquet"
        self.tuning = self.data / "tuning"
        self.cache = root / ".cache"
        self.reports = root / "reports"
        self.last_good_results = self.cache / "results" / "last_good.parquet"

    def index(self, split: str) -> Path:
        """The index of a split."""
        return self.data / "index" / f"{split}.parquet"

    def rejects(self, split: str) -> Path:
        """The files of a split that the index could not use."""
        return self.data / "index" / f"{split}.rejects.parquet"

    def keypoints(self, split: str) -> Path:
        """The folder of the key points of a split's images."""
        return self.data / "keypoints" / split

    def generated(self, split: str) -> Path:
        """The folder of a split's generated pictures."""
        return self.data / "generated" / split

    def features(self, split: str) -> Path:
        """The folder of a split's features."""
        return self.data / "features" / split

    def second_features(self, split: str) -> Path:
        """Folder of the features of the second network, if there is one."""
        return self.features(split) / "second"

    def quality(self, split: str) -> Path:
        """Scores and verdict of every row of a split."""
        return self.data / "quality" / f"{split}.parquet"

    def expectations(self, split: str) -> Path:
        """What the quality gates of a split expected and found."""
        return self.data / "quality" / f"{split}.expectations.parquet"

    def scores(self, split: str, shard: int) -> Path:
        """Scores of one shard of a split, kept between runs: no out of any stage."""
        return self.cache / "scores" / split / f"part-{shard:04d}.parquet"

    def neighbors(self, split: str, steps: Sequence[str]) -> Path:
        """The neighbour table of a split after some steps, kept between runs: no stage's out."""
        return self.cache / "neighbors" / split / f"{'-'.join(steps) or 'raw'}.parquet"

    @property
    def thumbnails(self) -> Path:
        """Those of the last report, kept between runs: no stage's out."""
        return self.cache / "thumbnails" / "report.parquet"

    def quarantine(self, split: str) -> Path:
        """The rejected rows of a split, written before a quality gate fails the stage."""
        return self.cache / "quarantine" / f"{split}.parquet"

    def failed_expectations(self, split: str) -> Path:
        """What the quality gates of a split found when they failed."""
        return self.cache / "quarantine" / f"{split}.expectations.parquet"

    def centralized(self, split: str) -> Path:
        """The folder of a split's centralized features, one file per variant."""
        return self.data / "centralized" / split
