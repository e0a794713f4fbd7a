"""The overview's findings in words, computed from the tables, and where to look next."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.reporting.cameras import CameraTable
from tasks.reporting.formats import count, number, percent, signed
from tasks.reporting.results import Results
from tasks.reporting.tables import Row, Tables
from tasks.tables.params import BASE
from tasks.tables.schema import ORIGINAL_POSE_ID

N_FINDINGS = 3


@dataclass(frozen=True, slots=True)
class Pointer:
    """A sentence and the page of the report that shows more."""

    text: str
    page: str
    place: str = ""  # after the page's address, such as #sort=gain


def findings(tables: Tables, results: Results) -> list[Pointer]:
    """The three most telling sentences that the tables allow."""
    found = [_best(results), _steps(results), _flips(tables, results)]
    found += [_quarantined(tables), _drawings(tables), _unscored(results)]
    return [item for item in found if item is not None][:N_FINDINGS]


def next_looks(results: Results, cameras: CameraTable | None) -> list[Pointer]:
    """Where a reader who wants to make the numbers better should look."""
    looks = []
    if results.scored:
        looks.append(
            Pointer("The queries that lost most, with their lists", "queries", "#sort=gain&up=1")
        )
    if cameras is not None and cameras.hardest is not None:
        asked, of = cameras.hardest
        looks.append(
            Pointer(
                f"The hardest pair of cameras: queries of camera {asked} among pictures of "
                f"camera {of}, mAP {percent(cameras.cells[asked, of][1])} %",
                "cameras",
            )
        )
    looks += [
        Pointer("The drawings that look least like their person", "drawings"),
        Pointer("What the gates kept out, and why", "quality"),
    ]
    return looks


def _best(results: Results) -> Pointer | None:
    after, before = results.after, results.before
    if after is None or after["mAP"] is None or results.best is None:
        return None
    text = (
        f"{after['variant']} is the best variant without re-ranking: mAP {percent(after['mAP'])} %"
    )
    if after["mAP_delta"] is not None:
        text += f", {signed(after['mAP_delta'])} points on {BASE}'s {percent(before['mAP'])} %"
        text += _luck(after["mAP_delta_low"], after["mAP_delta_high"])
    if results.best["variant"] not in (after["variant"], BASE):
        best = results.best
        text += f". With re-ranking {best['variant']} reaches {percent(best['mAP'])} %"
    elif results.best["variant"] == BASE:
        text += f". {BASE} is better than all others here"
    return Pointer(text + ".", "results")


def _steps(results: Results) -> Pointer | None:
    """The step that adds most to the variant without it, and the one that adds least."""
    rows = [row for row in results.variants if row.get("step_delta") is not None]
    if not rows:
        return None
    rows.sort(key=lambda row: (-row["step_delta"], row["variant"]))
    text = f"Of the steps, most comes from {_step(rows[0])}"
    if len(rows) > 1:
        text += f"; least from {_step(rows[-1])}"
    return Pointer(text + ".", "results", "#steps")


def _step(row: Row) -> str:
    luck = _luck(row["step_delta_low"], row["step_delta_high"])
    return (
        f"{row['steps'][-1]} after {row['without_last_step']}: "
        f"{signed(row['step_delta'])} points of mAP{luck}"
    )


def _luck(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    spans = ", which spans 0: it may be luck" if low <= 0 <= high else ""
    return f" (95 % interval {signed(low)} to {signed(high)}{spans})"


def _flips(tables: Tables, results: Results) -> Pointer | None:
    if results.after is None or not results.scored:
        return None
    name = results.after["variant"]
    row = tables.rows(
        """
        SELECT count(*) FILTER (a.ap > b.ap) AS gained, count(*) FILTER (a.ap < b.ap) AS lost,
               count(*) FILTER (a.first_hit_rank = 1 AND b.first_hit_rank > 1) AS righted,
               count(*) FILTER (b.first_hit_rank = 1 AND a.first_hit_rank > 1) AS wronged,
               count(*) AS n
        FROM queries b JOIN queries a USING (query_id)
        WHERE b.variant = ? AND a.variant = ? AND b.ap IS NOT NULL AND a.ap IS NOT NULL
        """,
        *(BASE, name),
    )[0]
    text = (
        f"With {name}, {count(row['gained'])} of {count(row['n'])} queries gained AP and "
        f"{count(row['lost'])} lost; the first answer became right for {count(row['righted'])} "
        f"and wrong for {count(row['wronged'])}."
    )
    return Pointer(text, "queries", "#sort=gain")


def _quarantined(tables: Tables) -> Pointer | None:
    if "quality" not in tables.views:
        return None
    row = tables.rows("SELECT count(*) AS n, count(*) FILTER (NOT accepted) AS bad FROM quality")[0]
    share = percent(row["bad"] / row["n"]) if row["n"] else percent(None)
    text = f"The gates kept {count(row['bad'])} of {count(row['n'])} pictures out, {share} %."
    return Pointer(text, "quality")


def _drawings(tables: Tables) -> Pointer | None:
    if "quality" not in tables.views:
        return None
    row = tables.rows(
        f"""
        SELECT median(identity_similarity) AS typical FROM quality
        WHERE pose_id <> {ORIGINAL_POSE_ID} AND identity_similarity IS NOT NULL
        """
    )[0]
    if row["typical"] is None:
        return None
    text = (
        "Half of the drawings have an identity score (cosine to the original's feature) of "
        f"{number(row['typical'], 2)} or more."
    )
    return Pointer(text, "drawings")


def _unscored(results: Results) -> Pointer:
    why = results.note or "only one variant was scored"
    return Pointer(f"There is no gain to tell of: {why}.", "results")
