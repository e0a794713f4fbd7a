"""The results as a LaTeX table, and the CMC curves."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.reporting.tables import Row, Tables

COLUMNS = (  # of the summary, heading; all in percent
    *(("mAP", "mAP"), ("rank_1", "R-1"), ("rank_5", "R-5"), ("rank_10", "R-10"), ("mINP", "mINP")),
)
_SPECIAL = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def latex_table(tables: Tables, variants: Sequence[str]) -> str:
    r"""The results of some variants as a table of the package booktabs, the best in bold.

    Args:
        tables: The project's tables.
        variants: Which, in this order; without any, all.

    Returns:
        LaTeX, to be taken by `\input`.
    """
    rows = {row["variant"]: row for row in tables.rows("SELECT * FROM summary")}
    shown = [rows[name] for name in variants or rows]
    best = {
        name: max((row[name] for row in shown if row[name] is not None), default=None)
        for name, _ in COLUMNS
    }
    first = shown[0]
    facts = (
        f"{tables.params.dataset.name}, {first['n_valid_queries']} of {first['n_queries']} queries "
        f"against {first['n_gallery']} gallery images, protocol {first['protocol']}"
    )
    lines = [
        f"% {facts}; percent; pose2id figure table; needs \\usepackage{{booktabs}}",
        rf"\begin{{tabular}}{{l{'r' * len(COLUMNS)}l}}",
        r"\toprule",
        " & ".join(["Variant", *(head for _, head in COLUMNS), r"$\Delta$mAP [95\,\%]"]) + r" \\",
        r"\midrule",
        *(_line(row, best) for row in shown),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def cmc_curves(tables: Tables, variants: Sequence[str]) -> dict[str, list[float]]:
    """Variant -> share of queries with a hit within rank 1, 2, ...; of some variants, or of all."""
    curves = {
        row["variant"]: row["cmc"]
        for row in tables.rows(
            "SELECT variant, list(cmc ORDER BY rank) AS cmc FROM cmc GROUP BY variant"
        )
    }
    names = variants or [row["variant"] for row in tables.rows("SELECT variant FROM summary")]
    return {name: curves[name] for name in names if name in curves}


def escaped(text: str) -> str:
    r"""Text that LaTeX sets as it is.

    >>> print(escaped("ipg_nfc 100 %"))
    ipg\_nfc 100 \%
    """
    return "".join(_SPECIAL.get(sign, sign) for sign in text)


def _line(row: Row, best: Row) -> str:
    cells = [escaped(row["variant"])]
    for name, _ in COLUMNS:
        value = row[name]
        text = "--" if value is None else f"{100 * value:.1f}"
        cells.append(rf"\textbf{{{text}}}" if value is not None and value == best[name] else text)
    if row["mAP_delta"] is None:
        return " & ".join([*cells, ""]) + r"\\"
    delta, low, high = (100 * row[f"mAP_delta{end}"] for end in ("", "_low", "_high"))
    return " & ".join([*cells, f"${delta:+.1f}$ $[{low:+.1f}, {high:+.1f}]$"]) + r" \\"
