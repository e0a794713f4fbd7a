"""Protocols as records of rules: what a query may not see, what is repeated, what is averaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from pose2id.choices import Protocol
from pose2id.errors import ParamsError

Unseen = Literal["camera", "same_clothes", "other_clothes", "tracklet", "group", "sysu_place"]
"""Gallery images that a query may not see.

`camera`, `tracklet`: of its person and its camera or tracklet, both known. `same_clothes`,
`other_clothes`: of its person in the same or in other clothes, and of its person where the clothes
of either image are unknown. `group`: of its group, whoever they show. `sysu_place`: of camera 2 for
a query of camera 3, which stand at one place.
"""

Draws = Literal["none", "per_query", "prcc", "sysu_official", "sysu_seeded", "halves", "given"]
"""What is repeated.

`none`: one ranking of the whole gallery. `per_query`: one gallery image per person, a query's own
person drawn from what it may see. `prcc`: one gallery image per person for all queries.
`sysu_official`, `sysu_seeded`: images per person and camera, as the two published definitions draw
them. `halves`: ten random halves of the persons. `given`: the persons of each trial as the caller
lists them, else all of them once.
"""

COLUMNS: Final[dict[Unseen, str]] = {
    "camera": "camids",
    "same_clothes": "clothes_ids",
    "other_clothes": "clothes_ids",
    "tracklet": "tracklets",
    "group": "groups",
    "sysu_place": "camids",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """One protocol.

    Attributes:
        unseen: Gallery images that a query may not see.
        draws: What is repeated; results are means over the repetitions.
        shots: Images that a draw takes per person (and camera, on SYSU-MM01).
        cameras: Cameras of the gallery that take part, numbered from 1; empty = all.
        both_directions: Every repetition is scored a second time with gallery as queries.
        trapezoidal: AP as the area under trapezoids instead of the mean precision at the hits.
        whole_gallery_ap: AP and INP are of the whole gallery, draws count for CMC alone.
        cmc_over_persons: CMC counts the persons that are ranked ahead, not their images.
        cross_modal: Queries and gallery are of different modalities.
        needs: Columns of labels without which the rules mean nothing.
        source: Where the definition is from.
    """

    unseen: tuple[Unseen, ...] = ()
    draws: Draws = "none"
    shots: int = 1
    cameras: tuple[int, ...] = ()
    both_directions: bool = False
    trapezoidal: bool = False
    whole_gallery_ap: bool = False
    cmc_over_persons: bool = False
    cross_modal: bool = False
    needs: tuple[str, ...] = ()
    source: str = ""


def _sysu(cameras: tuple[int, ...], shots: int, draws: Draws, source: str) -> Rules:
    return Rules(
        unseen=("sysu_place",),
        draws=draws,
        shots=shots,
        cameras=cameras,
        cmc_over_persons=True,
        cross_modal=True,
        needs=("camids",),
        source=source,
    )


_ALL, _INDOOR = (1, 2, 4, 5), (1, 2)
_WU = "Wu et al., ICCV 2017, and the authors' rand_perm_cam.mat"
_YE = "Ye et al., AGW, TPAMI 2021: Python's random seeded with the trial's number"
_GU = "Gu et al., Simple-CCReID, CVPR 2022"

PROTOCOLS: Final[dict[Protocol, Rules]] = {
    "market": Rules(("camera",), source="Zheng et al., ICCV 2015; mean precision as in torchreid"),
    "trapezoidal": Rules(
        ("camera",), trapezoidal=True, source="Zheng et al., ICCV 2015, the authors' scripts"
    ),
    "none": Rules(source="LaST (no cameras), Occluded-REID, P-DukeMTMC (pseudo-cameras)"),
    "single_gallery_shot": Rules(
        ("camera",), "per_query", source="AP of each draw alone, which is 1 / rank of its image"
    ),
    "cuhk03_classic": Rules(
        ("camera",),
        "per_query",
        whole_gallery_ap=True,
        source="Li et al., CVPR 2014; AP as torchreid and fast-reid report it",
    ),
    "sysu_mm01_all_1shot": _sysu(_ALL, 1, "sysu_official", _WU),
    "sysu_mm01_all_10shot": _sysu(_ALL, 10, "sysu_official", _WU),
    "sysu_mm01_indoor_1shot": _sysu(_INDOOR, 1, "sysu_official", _WU),
    "sysu_mm01_indoor_10shot": _sysu(_INDOOR, 10, "sysu_official", _WU),
    "sysu_mm01_all_1shot_seeded": _sysu(_ALL, 1, "sysu_seeded", _YE),
    "sysu_mm01_all_10shot_seeded": _sysu(_ALL, 10, "sysu_seeded", _YE),
    "sysu_mm01_indoor_1shot_seeded": _sysu(_INDOOR, 1, "sysu_seeded", _YE),
    "sysu_mm01_indoor_10shot_seeded": _sysu(_INDOOR, 10, "sysu_seeded", _YE),
    "regdb": Rules(
        draws="given",
        both_directions=True,
        cross_modal=True,
        source="Nguyen et al., Sensors 2017; ten trials, each with a model of its own",
    ),
    "viper": Rules(
        draws="halves",
        both_directions=True,
        source="Gray and Tao, ECCV 2008; ten splits, two directions",
    ),
    "prcc": Rules(("camera",), "prcc", source=f"Yang et al., TPAMI 2019; draws of {_GU}"),
    "clothes_general": Rules(("camera",), source=_GU),
    "clothes_changed": Rules(("camera", "same_clothes"), needs=("clothes_ids",), source=_GU),
    "clothes_same": Rules(("camera", "other_clothes"), needs=("clothes_ids",), source=_GU),
    "tracklet": Rules(
        ("tracklet",), needs=("tracklets",), source="Xu and Zhu, DeepChange, ICCV 2023"
    ),
    "group": Rules(("group",), needs=("groups",), source="sequences of Open Metric Learning"),
}


def rules_of(protocol: str) -> Rules:
    """The rules of a protocol.

    Raises:
        ParamsError: Unknown protocol.

    Example:
        >>> rules_of("clothes_changed").unseen
        ('camera', 'same_clothes')
    """
    for name in get_args(Protocol):
        if name == protocol:
            return PROTOCOLS[name]
    raise ParamsError(f"protocol is {protocol!r}; allowed: {', '.join(get_args(Protocol))}.")
