"""One stage, as dvc.yaml calls it: `pose2id stage generate query`."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.project import PARAMS_FILE, Params
from pose2id.speed import end_quickly, note_success

app = typer.Typer()
log = logging.getLogger("flows")
EXPERIMENT_STAYS = (
    "This was part of dvc exp run, which leaves its values in params.yaml. To have yours back: git "
    "checkout params.yaml (or git stash, where you had changed more)."
)


@app.command()
def main(
    stage: Annotated[str, typer.Argument(help="Name of the stage, for example generate.")],
    split: Annotated[str, typer.Argument(help="Split, for the stages that run per split.")] = "",
    params: Params = PARAMS_FILE,
) -> None:
    """Runs one stage on the project in the current folder."""
    from flows.cli.console import setup_logging, show_note
    from flows.orchestration.events import record_event
    from flows.process.environment import leave_pandas_out
    from flows.process.signals import end_on_signals
    from pose2id.errors import Pose2IdError
    from pose2id.workers import end_with_parent

    end_quickly()
    setup_logging()
    leave_pandas_out()
    end_on_signals(f"{stage} {split}".strip())
    if "DVC_STAGE" in os.environ:  # DVC frees its own lock when it is killed: go with it
        end_with_parent()
    try:
        run_stage(stage, split, params, Path())
    except Pose2IdError as error:
        record_event(Path(), "error", text=str(error))
        if "DVC_EXP_NAME" in os.environ:
            show_note(EXPERIMENT_STAYS)
        raise
    note_success()


def run_stage(stage: str, split: str, params_file: Path, root: Path) -> None:
    """Runs all shards of one stage, holding the project's lock.

    Args:
        stage: Name of the stage.
        split: Split, or `""` for a stage over all splits.
        params_file: The YAML file with the parameters.
        root: The project's root folder.

    Raises:
        Pose2IdError: Parameters, data, weights, quality or the disk are not as they must be.
    """
    from flows.cli.console import progress
    from flows.orchestration.shards import map_shards
    from flows.process.disk import explained_disk_errors
    from flows.process.last_tables import bring_last_rows, note_tables
    from flows.process.lock import pipeline_lock
    from flows.process.memory import explained_memory_errors
    from flows.process.privacy import load_project
    from flows.process.repair import forget_index, put_out_aside
    from pose2id.errors import DataError, ImageChangedError
    from tasks.stages.base import Job, ShardReport, check_split, load_stage
    from tasks.tables.cache import sweep
    from tasks.tables.schema import Layout
    from tasks.tables.seal import DamagedTableError

    parameters = load_project(params_file, root)
    module = load_stage(stage)
    check_split(stage, split, parameters)
    name = f"{stage} {split}".strip()
    started = time.monotonic()
    n_rows = 0
    with explained_disk_errors(name), explained_memory_errors(name), pipeline_lock(root, name):
        sweep(Layout(root))
        jobs = module.plan(parameters, root, split)
        bring_last_rows(root, jobs[0])
        try:
            with progress(name, len(jobs), "shards") as advance:

                def on_done(job: Job, report: ShardReport) -> None:
                    nonlocal n_rows
                    n_rows += report.n_rows
                    advance(1, f"{n_rows / (time.monotonic() - started):.1f} rows/s")
                    log.info("%s: %s", job.label, report)

                reports = map_shards(jobs, parameters.runtime, on_done)
            module.merge(parameters, root, split, reports)
        except ImageChangedError:
            forget_index(root, split)
            raise
        except DamagedTableError as error:
            put_out_aside(root, error)
            raise DataError(
                f"{error.path} was damaged ({error.reason}) and has been moved to .cache/damaged; "
                "run the same command again: DVC has a copy of it, or it is made again"
            ) from error
        note_tables(root, jobs[0])
    log.info("%s done in %.1f s", name, time.monotonic() - started)
