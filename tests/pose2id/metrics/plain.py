"""Protocols as plain loops: sort a row, walk along it, count. No code of ours is used."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Found(NamedTuple):
    """What one query gets in one gallery."""

    ap: float
    inp: float
    first_image: int
    first_person: int


def walk(row: np.ndarray, visible: list[int], pid: int, pids: np.ndarray) -> Found | None:
    """Walks along the visible gallery from near to far; None where nobody of the person is in."""
    order = sorted(visible, key=lambda g: (row[g], g))
    hits = [position for position, g in enumerate(order, 1) if pids[g] == pid]
    if not hits:
        return None
    ap = sum(n / position for n, position in enumerate(hits, 1)) / len(hits)
    people: list[int] = []
    for g in order:
        if pids[g] not in people:
            people.append(pids[g])
    return Found(ap, len(hits) / hits[-1], hits[0], people.index(pid) + 1)


def means(found: list[Found | None], person_ranks: bool = False) -> dict[str, Any]:
    """mAP, mINP and CMC over the queries that have somebody to find."""
    valid = [f for f in found if f is not None]
    firsts = [f.first_person if person_ranks else f.first_image for f in valid]
    return {
        "mAP": np.mean([f.ap for f in valid]),
        "mINP": np.mean([f.inp for f in valid]),
        "cmc": [np.mean([first <= r for first in firsts]) for r in range(1, 51)],
    }


def over_trials(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Plain means of trials."""
    return {
        "mAP": np.mean([trial["mAP"] for trial in trials]),
        "mINP": np.mean([trial["mINP"] for trial in trials]),
        "cmc": np.mean([trial["cmc"] for trial in trials], axis=0),
    }


def agrees(ours: Any, plain: dict[str, Any]) -> None:
    """Fails where an evaluation is not the plain one to 1e-6."""
    assert abs(ours.mAP - plain["mAP"]) < 1e-6
    assert abs(ours.mINP - plain["mINP"]) < 1e-6
    assert np.allclose(ours.cmc, plain["cmc"], rtol=0, atol=1e-6)
