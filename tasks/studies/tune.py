"""Choosing one chain with eta and k on the train split, and writing it into a params file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pose2id.steps.chain import Chain, feature_chain
from tasks.choosing.evaluation import load_images
from tasks.choosing.judging import (
    FEW_PEOPLE,
    Judged,
    candidates,
    check_split,
    evidence_rows,
    judge,
)
from tasks.choosing.rules import Candidate, Gain
from tasks.tables import schema
from tasks.tables.params import Params
from tasks.tables.params_file import edit_params, inline
from tasks.tables.store import write_table

TUNED = "tuned"  # the variant that is written, where the chain has no name yet


@dataclass(frozen=True)
class Choice:
    """What was chosen, and what it rests on.

    Attributes:
        variant: The chosen chain's name in the params file written.
        chosen: The chosen setting.
        best: The one with the highest mean, chosen or not.
        judged: The scores of all settings, and of whom they are.
    """

    variant: str
    chosen: Candidate
    best: Candidate
    judged: Judged

    def gain(self, candidate: Candidate) -> Gain:
        """What a setting has more than base."""
        return self.judged.evidence.gain(Candidate(), candidate)

    @property
    def notes(self) -> list[str]:
        """What a reader of the choice should know."""
        judged = self.judged
        found = [
            f"It rests on {judged.n_people} people, {judged.n_queries} queries and "
            f"{judged.n_images} pictures; the means are of the split it was made on, not of your "
            "query and gallery."
        ]
        if judged.n_people < FEW_PEOPLE:
            found.append(
                f"With {judged.n_people} people the choice is coarse: a step that helps a little "
                "cannot be told from luck, and is left out."
            )
        return found


def tune(
    params: Params, root: Path, params_file: Path, on_setting: Callable[[], None] = lambda: None
) -> Choice:
    """Makes the choice and writes `data/tuning/study.parquet` and `data/tuning/params.yaml`.

    Args:
        params: All parameters; `tune` says what is looked at, the rest is kept.
        root: The project's root folder.
        params_file: The file that `params` are from; the one written keeps its comments.
        on_setting: Called after every setting.

    Raises:
        DataError: The split has no labels, or not two people who can be found.
        ParamsError: The split is not known, or is one that is scored.
    """
    layout = schema.Layout(root)
    check_split(params, layout)
    images = load_images(layout, params.tune.split, params.centralize.tracklets)
    chain = considered_steps(params)
    settings = candidates(params, images, chain)
    judged = judge(settings, images, params, on_setting)
    chosen = judged.evidence.choose().chosen
    variant = _write_params(params, params_file, layout.tuning / "params.yaml", chosen)
    choice = Choice(variant, chosen, judged.evidence.best, judged)
    table = pa.Table.from_pylist(evidence_rows(judged, chain, settings), schema=schema.CHOICE)
    write_table(layout.tuning / "study.parquet", table, producer="tune")
    return choice


def considered_steps(params: Params) -> Chain:
    """The steps that may be in the chain, in the order in which they would be.

    Those of `tune.steps`, without `second_opinion` where there is no second network, then others
    that variants name; where a variant orders some of them, its order holds.

    >>> from pathlib import Path
    >>> from tasks.tables.params import load_params
    >>> considered_steps(load_params(Path("params.yaml")))
    ('fuse', 'camera_normalize', 'nfc')
    """
    variants = [feature_chain(chain) for chain in params.variants.values()]
    first = [s for s in params.tune.steps if s != "second_opinion" or params.features.of_second]
    order = list(dict.fromkeys([*first, *(s for chain in variants for s in chain)]))
    for chain in reversed(variants):  # of two that disagree, the first one holds
        steps = list(dict.fromkeys(chain))
        places = sorted(order.index(step) for step in steps)
        for place, step in zip(places, steps, strict=True):
            order[place] = step
    return tuple(order)


def _write_params(params: Params, source: Path, target: Path, chosen: Candidate) -> str:
    """Writes the choice into a copy of the params file; returns the chosen chain's variant."""
    names = {chain: name for name, chain in params.variants.items() if name != TUNED}
    variant = names.get(chosen.chain, TUNED)

    def change(sections: Any) -> None:  # noqa: ANN401 - ruamel's mapping
        steps = sections.setdefault("centralize", {})
        if "fuse" in chosen.chain:
            steps.setdefault("fuse", {})["eta"] = chosen.eta
        if "nfc" in chosen.chain:
            steps.setdefault("nfc", {}).update(k1=chosen.k, k2=chosen.k)
        if "second_opinion" in chosen.chain:
            steps.setdefault("second_opinion", {})["weight"] = chosen.weight
        if "camera_normalize" in chosen.chain:
            steps.setdefault("camera_normalize", {})["use"] = "always"
        if "variants" not in sections:
            sections["variants"] = {name: inline(chain) for name, chain in params.variants.items()}
        sections["variants"].pop(TUNED, None)
        if variant == TUNED:
            sections["variants"][TUNED] = inline(chosen.chain)

    edit_params(source, target, change)
    return variant
