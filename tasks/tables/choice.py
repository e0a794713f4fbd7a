"""What the train split decided, and a variant's steps with every value known."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pose2id.errors import DataError
from pose2id.steps.base import auto_keys
from pose2id.steps.chain import Chain, feature_chain
from pose2id.steps.registry import STEPS
from tasks.tables.params import Params
from tasks.tables.schema import Layout
from tasks.tables.store import read_table


@dataclass(frozen=True)
class Applied:
    """What is done for a variant.

    Attributes:
        chain: The steps on features; those that the train split switched off are left out.
        params: Step -> its parameters, none of them `auto`.
        notes: What was chosen, a line for each step.
    """

    chain: Chain
    params: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def values(self) -> dict[str, Any]:
        """For the results: the steps, eta where it has `fuse`, k1 and k2 where it has `nfc`."""
        fuse, nfc = (self.params[name] if name in self.chain else None for name in ("fuse", "nfc"))
        return {
            "applied": list(self.chain),
            "eta": None if fuse is None else float(fuse.eta),
            "k1": None if nfc is None else nfc.k1,
            "k2": None if nfc is None else nfc.k2,
        }

    @property
    def fingerprint(self) -> str:
        """The steps and all their values, as text."""
        steps = [(name, dataclasses.asdict(self.params[name])) for name in self.chain]
        return json.dumps(steps, sort_keys=True)


def with_values(params: Mapping[str, Any], eta: float, k: int, weight: float) -> dict[str, Any]:
    """The parameters of steps with the values of a setting, whatever theirs are."""
    return {
        **params,
        "fuse": replace(params["fuse"], eta=eta),
        "nfc": replace(params["nfc"], k1=max(1, k), k2=max(1, k)),
        "camera_normalize": replace(params["camera_normalize"], use="always"),
        "second_opinion": replace(params["second_opinion"], weight=weight),
    }


def applied(params: Params, layout: Layout, variant: str) -> Applied:
    """A variant's steps with every value known: given, or chosen on the train split.

    A step of which a parameter is `auto` is left out where the choice says so.

    Args:
        params: All parameters.
        layout: Where the tables are.
        variant: Name of the variant.

    Raises:
        DataError: Something is `auto`, and the table of choices says nothing of this chain.
    """
    chain, given = feature_chain(params.chain(variant)), params.centralize.by_step()
    open_steps = [step for step in chain if auto_keys(given[step])]
    if not open_steps:
        return Applied(chain, given)
    row = _chosen(layout, chain)
    steps, notes = dict(given), []
    values = with_values(given, row["eta"], row["k"], row["weight"])
    on = row["n_people"] and f"chosen on {row['n_people']} people of {params.tune.split}"
    for step in open_steps:
        keys = auto_keys(given[step])
        steps[step] = replace(given[step], **{key: getattr(values[step], key) for key in keys})
        value = ", ".join(_words(key, getattr(steps[step], key)) for key in keys)
        done = value if step in row["steps"] else "off"
        notes.append(f"{step}: {done}, {on}" if on else f"{step}: {done}; {row['why']}")
    off = {step for step in open_steps if step not in row["steps"]}
    return Applied(tuple(step for step in chain if step not in off), steps, tuple(notes))


def choosable(params: Params, chain: Chain) -> list[str]:
    """The steps of a chain that the train split may decide about."""
    return [step for step in chain if STEPS[step].choosable and step in params.tune.steps]


def _words(key: str, value: object) -> str:
    return "on" if key == "use" else f"{key} {value:g}"


def _chosen(layout: Layout, chain: Chain) -> dict[str, Any]:
    if not layout.choice.is_file():
        raise DataError(
            f"{layout.choice} is missing, and a parameter of {', '.join(chain)} is auto; run: dvc "
            "repro"
        )
    for row in read_table(layout.choice).to_pylist():
        if row["chosen"] and tuple(row["chain"]) == chain:
            return dict(row)
    raise DataError(
        f"{layout.choice} says nothing of the chain {', '.join(chain)}, of which a parameter is "
        "auto; run: dvc repro"
    )
