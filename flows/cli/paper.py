"""Runs a table of the paper and prints ours beside the published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer()
TABLES = Path("experiments", "paper")


@app.command()
def main(
    table: Annotated[str, typer.Argument(help="A table of experiments/paper, such as table1.")],
    data: Annotated[Path, typer.Option(help="Folder with a folder for each dataset.")],
    weights: Annotated[Path, typer.Option(help="Folder with a folder for each network.")],
    work: Annotated[Path, typer.Option(help="Where the runs are kept; they resume.")] = Path(
        ".cache/paper"
    ),
    overrides: Annotated[
        str, typer.Option(help="Parameters that differ: '{runtime: {workers: 1}}'.")
    ] = "",
    tables: Annotated[Path, typer.Option(help="Folder of the tables.")] = TABLES,
) -> None:
    """Runs the rows whose data and weights are there, and prints ours beside the published."""
    import yaml

    from flows.cli.console import setup_logging, show_note, show_table
    from pose2id.errors import ParamsError, Pose2IdError
    from tasks.studies.paper import MEASURES, load_paper_table, plan_runs, score_row

    setup_logging()
    if Path(table).name != table:
        raise ParamsError(f"{table!r} is no name of a table")
    described = load_paper_table(tables / f"{table}.yaml")
    changes = yaml.safe_load(overrides) if overrides else {}
    if not isinstance(changes, dict):
        raise ParamsError(f"--overrides is {overrides!r}; a mapping of sections is needed")
    ours: dict[int, dict[str, float]] = {}
    reasons: dict[int, str] = {}
    for run in plan_runs(described, data, weights, changes):
        reason = "; ".join(run.missing)
        if run.params is not None:
            try:
                root = work / table / run.name
                _run_stages(root, run.params)
                for number in run.rows:
                    ours[number] = score_row(root, run.params, described.rows[number])
            except Pose2IdError as error:
                reason = str(error)
        reasons |= dict.fromkeys(run.rows, reason) if reason else {}
    rows: list[tuple[Any, ...]] = []
    for number, row in enumerate(described.rows):
        found = ours.get(number)
        numbers: list[Any] = []
        for measure in MEASURES:
            published = row.published.get(measure)
            value = found[measure] if found else None
            difference = None if value is None or published is None else value - published
            numbers += [value, published, difference]
        rows.append((row.dataset, row.network, row.label, *numbers))
    columns = [name for m in MEASURES for name in (m, f"{m} paper", f"{m} diff")]
    show_table(("dataset", "network", "steps", *columns), rows)
    for reason in sorted(set(reasons.values())):
        count = sum(reason == other for other in reasons.values())
        show_note(f"{count} rows not run: {reason}")
    show_note(f"published: {described.source}")


def _run_stages(root: Path, params: Any) -> None:  # noqa: ANN401 - tasks.tables.params.Params
    """Runs the stages that features need in a folder of their own, which keeps its caches."""
    import yaml

    from flows.cli.stage import run_stage
    from tasks.stages.base import STAGES as PER_SPLIT
    from tasks.studies.paper import SPLITS, STAGES

    root.mkdir(parents=True, exist_ok=True)
    file = root / "params.yaml"
    raw = params.model_dump(mode="json", by_alias=True, exclude_unset=True)
    raw["features"]["options"] = dict(params.features.options)
    file.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    for stage in STAGES:
        for split in SPLITS if PER_SPLIT[stage] else ("",):
            run_stage(stage, split, file, root)
