"""The variants in words, and the two of them that the report sets side by side."""

from __future__ import annotations

from collections.abc import Sequence

BEFORE = "base"
RERANKED = "_rerank"
_PREFERRED = ("ipg_nfc", "ipg", "nfc")
_WORDS = {
    "base": "the original picture's feature alone",
    "ipg": "fused with the features of the generated pictures",
    "nfc": "centralized with its mutual nearest neighbours",
    "ipg_nfc": "fused with generated pictures, then centralized with neighbours",
}


def describe(variant: str) -> str:
    """What a variant is, in words.

    >>> describe("nfc_rerank")
    'centralized with its mutual nearest neighbours; then k-reciprocal re-ranking'
    """
    plain = variant.removesuffix(RERANKED)
    words = _WORDS.get(plain, plain)
    return words if plain == variant else f"{words}; then k-reciprocal re-ranking"


def compared(variants: Sequence[str]) -> str | None:
    """The variant that the report compares with `base`: the fullest one without re-ranking.

    >>> compared(["base", "nfc", "ipg_nfc", "ipg_nfc_rerank"])
    'ipg_nfc'
    >>> compared(["base"]) is None
    True
    """
    return next((name for name in _PREFERRED if name in variants), None)
