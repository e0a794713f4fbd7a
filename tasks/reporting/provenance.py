"""Page `provenance`: the parameters, the fingerprints, the model; and the card's facts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from tasks.reporting.data import split_rows
from tasks.reporting.tables import FILES, Row, Tables
from tasks.tables.params import Params

MAX_CARD_CHARS = 20_000
TABLES_IN_WORDS = {
    "index": "images and labels",
    "poses": "poses to draw",
    "generated": "generated pictures",
    "features": "raw features",
    "quality": "verdicts",
    "centralized": "centralized features",
    "summary": "scores",
}


@dataclass(frozen=True, slots=True)
class Provenance:
    """What the provenance section shows."""

    dataset: dict[str, Any]
    splits: list[Row]
    tables: list[Row]
    params_yaml: str
    model: str
    model_card: str | None
    card_is_cut: bool


def provenance_section(tables: Tables) -> Provenance:
    """Collects where every number on the page comes from."""
    splits = split_rows(tables)
    made = [
        {
            "name": name,
            "words": TABLES_IN_WORDS[name],
            "path": f"data/{pattern}",
            "n_rows": tables.count(name),
            "producers": tables.producers(name),
        }
        for name, pattern in FILES.items()
    ]
    model = tables.params.generate.model
    card = tables.layout.root / model / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else None
    return Provenance(
        dataset=tables.params.dataset.model_dump(),
        splits=splits,
        tables=made,
        params_yaml=params_yaml(tables.params),
        model=model,
        model_card=text[:MAX_CARD_CHARS] if text else None,
        card_is_cut=len(text or "") > MAX_CARD_CHARS,
    )


def params_yaml(params: Params) -> str:
    """All parameters that can change an output, as YAML; `runtime` cannot."""
    values = params.model_dump(mode="json", by_alias=True, exclude={"runtime"})
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
