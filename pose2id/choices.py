"""The values that a parameter may take, where it is one of a few words: their only list.

Parameters, command-line options, registries and messages are made from these. The module imports
nothing, so that parameters are checked without loading a network's libraries.
"""

from __future__ import annotations

from typing import Literal

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["float32", "bfloat16", "float16"]  # of the generator's networks
Solver = Literal["ddim", "dpmpp", "unipc"]
Noise = Literal["per_pose", "per_image"]
PictureFormat = Literal["png", "jpeg", "webp"]
GeneratorName = Literal["ipg", "controlnet", "none"]  # none: no drawings
PoseSource = Literal["standard", "file", "dataset"]
ChannelOrder = Literal["rgb", "bgr"]

Search = Literal["exact", "hnsw", "ivf"]  # of nearest neighbours
Reduce = Literal["mean", "sum", "max", "concat"]  # of a picture's drawings
DrawingWeights = Literal["uniform", "identity_similarity"]
NeighborWeights = Literal["uniform", "inverse_distance", "exponential"]
RerankPrecision = Literal["float32", "float16"]  # float16 repeats the published code
Reference = Literal["own", "gallery", "train"]  # the set that statistics or neighbours are from

Tracklets = Literal["none", "mean"]  # what becomes of the images of a track

Protocol = Literal[
    "market",
    "trapezoidal",
    "none",
    "single_gallery_shot",
    "cuhk03_classic",
    "sysu_mm01_all_1shot",
    "sysu_mm01_all_10shot",
    "sysu_mm01_indoor_1shot",
    "sysu_mm01_indoor_10shot",
    "sysu_mm01_all_1shot_seeded",
    "sysu_mm01_all_10shot_seeded",
    "sysu_mm01_indoor_1shot_seeded",
    "sysu_mm01_indoor_10shot_seeded",
    "regdb",
    "viper",
    "prcc",
    "clothes_general",
    "clothes_changed",
    "clothes_same",
    "tracklet",
    "group",
]  # of scoring, see pose2id.protocols

Status = Literal["open", "academic", "private", "retracted"]  # of a dataset
Boxes = Literal["labelled", "detected"]  # of CUHK03
QueryModality = Literal["visible", "thermal"]  # of RegDB
CameraNames = Literal["none", "names"]  # of one folder per person

Runner = Literal["threads", "processes", "ray", "dask"]  # of shards
Severity = Literal["warn", "quarantine", "fail"]  # of a row that is not as expected
Consequence = Literal["warn", "fail"]  # of a result that is not as expected

Auto = Literal["auto"]  # in place of a step's parameter: the train split decides
